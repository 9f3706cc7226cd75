"""The command line as ``python -m brainflix``."""

from brainflix.cli import main

main()
