"""Run a benchmark by name: ``python -m benchmarks backbones``."""

import importlib
import sys
from pathlib import Path

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))

if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
    sys.exit(f"usage: python -m benchmarks {{{','.join(NAMES)}}} [options]")
importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
