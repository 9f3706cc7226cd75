"""Step `provenance`: what a finished table was made from, by whom and where, in a file beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from brainflix import provenance as records
from brainflix.atomic import replacing
from brainflix.errors import InputError
from brainflix.settings import Options


def provenance(
    *, target: Path, config: Options, out: Path, state: Path = Path(".snakemake"), whole: bool = False
) -> None:
    """Write down config, seeds, code, packages, machines, jobs and checksums of raw inputs of a finished target.

    Args:
        target: a file that the workflow made, seen from the folder that it runs in.
        config: the whole configuration.
        out: JSON.
        state: what Snakemake keeps of its jobs.
        whole: checksum large raw files whole; otherwise their size and four parts of them.

    Raises:
        InputError: the target was not made here, or raw data it was made from are gone.
    """
    name = os.path.relpath(target)
    if not target.is_file():
        raise InputError.about(target, expected="a file that the workflow made", found="nothing")
    found = records.describe(name, config, state, whole=whole)
    with replacing(out) as partial:
        partial.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
