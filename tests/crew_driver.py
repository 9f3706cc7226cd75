"""Runs steps by their command lines, one after the other, in every process that torchrun starts with this file."""

import json
import sys
from pathlib import Path

from brainflix.cli import app

if __name__ == "__main__":
    for tokens in json.loads(Path(sys.argv[1]).read_text()):
        app(tokens, exit_on_error=False, print_error=False)
