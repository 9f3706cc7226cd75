"""`brainflix check` on a whole HCP: ``python -m benchmarks check``.

Writes 1,084 subjects of four runs as sparse files: the header and axes of a real run (1,200 volumes, 91,282
grayordinates, metadata of its own as HCP's pipelines leave them), then a hole of the matrix' size; some 3 GB of
headers in a temporary folder. Times the whole command as users type it, on a warm page cache and on a cold one
(evicted file by file), against nibabel opening the same files (a sample, scaled up) and against merely reading
the headers' bytes, warm and cold: a cold check is as fast as the disk. The last line is JSON; its ratio, and whether
30 s were kept, are the warm ones.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import nibabel as nib
import yaml
from nibabel.cifti2 import Cifti2Header, SeriesAxis
from nibabel.nifti2 import Nifti2Header

from brainflix.atlas import GRAYORDINATES
from brainflix.phantom.mesh import brain_models

ROOT = Path(__file__).parents[1]
RUNS = ("REST1_LR", "REST1_RL", "REST2_LR", "REST2_RL")
VOLUMES, REPETITION_TIME = 1200, 0.72
LIMIT_SECONDS = 30.0
METADATA = "<MetaData><MD><Name>Provenance</Name><Value>wb_command -cifti-math {}</Value></MD></MetaData>"


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=1084)
    parser.add_argument("--sample", type=int, default=40, help="files that nibabel opens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        root = Path(folder) / "HCP_1200"
        subjects = [str(100_000 + 7 * i) for i in range(chosen.subjects)]
        paths = write_tree(root, subjects)
        overlay = Path(folder) / "hcp.yaml"
        overlay.write_text(yaml.safe_dump({"datasets": {"hcp": {"root": str(root), "subjects": subjects}}}))
        measure(overlay, paths, sample=chosen.sample, repeats=chosen.repeats)


def measure(overlay: Path, paths: Sequence[Path], *, sample: int, repeats: int) -> None:
    """Take turns: ours warm, ours cold, nibabel, bare reads."""
    scale = len(paths) / min(sample, len(paths))
    times: dict[str, list[float]] = {name: [] for name in ("warm", "processor", "cold", "nibabel", "read", "read cold")}
    for _ in range(repeats):
        evict(paths)
        times["read cold"].append(timed(lambda: read_headers(paths)))
        times["read"].append(timed(lambda: read_headers(paths)))
        before = processor_seconds()
        times["warm"].append(timed(lambda: run_check(overlay)))
        times["processor"].append(processor_seconds() - before)
        times["nibabel"].append(scale * timed(lambda: [nib.load(path).header for path in paths[:sample]]))
        evict(paths)
        times["cold"].append(timed(lambda: run_check(overlay)))
    seconds = {name: median(values) for name, values in times.items()}
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"what\tseconds\n{len(paths):,} headers by brainflix check, warm\t{seconds['warm']:.2f}")
    print(f"processor time of that\t{seconds['processor']:.2f}\nthe same, cold\t{seconds['cold']:.2f}")
    print(f"nibabel.load, warm (from {sample} files)\t{seconds['nibabel']:.2f}")
    print(f"bare reads of the same bytes, warm\t{seconds['read']:.2f}\nbare reads, cold\t{seconds['read cold']:.2f}")
    print(f"peak memory of check, MB\t{memory:.0f}")
    result = {
        "name": "check",
        "peer": f"nibabel.load, scaled from {sample} files",
        "ours": seconds["warm"],
        "peer_value": seconds["nibabel"],
        "unit": "s",
        "ratio": seconds["nibabel"] / seconds["warm"],
        "memory_ratio": None,
        "floor_ratio": seconds["read"] / seconds["warm"],
        "cold": seconds["cold"],
        "cold_floor_ratio": seconds["read cold"] / seconds["cold"],
        "processor": seconds["processor"],
        "files": len(paths),
        "met": seconds["warm"] < LIMIT_SECONDS,
    }
    print(json.dumps(result))


def run_check(overlay: Path) -> None:
    """The command itself, in a process of its own; it has to find everything right."""
    command = [sys.executable, "-m", "brainflix.cli", "check", "--configfile", str(overlay), "--only", "hcp", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["ok"]


def write_tree(root: Path, subjects: Sequence[str]) -> list[Path]:
    """Runs of HCP_1200 without their values."""
    axes = [SeriesAxis(0.0, REPETITION_TIME, VOLUMES), brain_models(GRAYORDINATES)]
    before, matrix, after = Cifti2Header.from_axes(axes).to_xml().partition(b"<Matrix>")
    paths = []
    for subject in subjects:
        for run in RUNS:
            folder = root / subject / "MNINonLinear" / "Results" / f"rfMRI_{run}"
            folder.mkdir(parents=True)
            path = folder / f"rfMRI_{run}_Atlas_MSMAll_hp2000_clean.dtseries.nii"
            _write_header(path, before + matrix + METADATA.format(path).encode() + after)
            paths.append(path)
    os.sync()
    return paths


def _write_header(path: Path, xml: bytes) -> None:
    padding = -(len(xml) + 8) % 16
    header = Nifti2Header()
    header.set_data_dtype("<f4")
    header.set_data_shape((1, 1, 1, 1, VOLUMES, GRAYORDINATES))
    header["vox_offset"] = offset = 544 + 8 + len(xml) + padding
    header["intent_code"], header["magic"] = 3002, b"n+2"
    extension = (len(xml) + 8 + padding).to_bytes(4, "little") + (32).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(header.binaryblock + b"\1\0\0\0" + extension + xml + b"\0" * padding)
        file.truncate(offset + 4 * VOLUMES * GRAYORDINATES)


def read_headers(paths: Sequence[Path]) -> None:
    """Read the bytes before the matrix, and do nothing with them."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            offset = int.from_bytes(file.read(176)[168:176], "little")
            file.read(offset - 176)


def processor_seconds() -> float:
    """Processor time of all processes waited for so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def evict(paths: Sequence[Path]) -> None:
    """Drop the files from the page cache."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
