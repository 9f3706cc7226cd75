"""The 41 areas out of a resting run: ``python -m benchmarks extract``. About two minutes on one core.

A run as HCP publishes it (1,200 volumes of 91,282 grayordinates, float32, 439 MB) is written to a temporary folder.
The peer is what tutorials and the authors' scripts do: nibabel's ``get_fdata()``, then picking columns; where
windows are averaged, then z-scoring each column and averaging tenths as the released code does. Results are
checked to be equal before anything is timed. Warm: the file is in the page cache; cold: it was evicted from it.
The floor reads the bytes wanted, or inflates the file, and does nothing with them. The last line is JSON; its
ratio is the warm one.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from benchmarks._turns import Comparison, evict, in_child, peak_memory, report, take_turns, timed
from brainflix import atlas
from brainflix.datasets import cifti, hcp
from brainflix.phantom.cifti import write_series

VERTICES = atlas.vertices("glasser41")
VOLUMES, WINDOW = 1200, 10
EDGES = np.arange(0, VOLUMES + 1, WINDOW)
PLAIN, FUSED = "nibabel get_fdata()[:, vertices]", "nibabel get_fdata()[:, vertices], z-score, window means"


def main(arguments: list[str]) -> None:
    """Measure, print a table, and JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of plain files; of compressed ones, two at most")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; temporary by default")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "run.dtseries.nii"
        in_child(partial(write, path))
        # Ours parses the long list of grayordinates once in a process, for all runs of a shard; so here.
        cifti.read_header(path, grayordinates=atlas.GRAYORDINATES)
        report(list(compare(path, chosen.rounds)))


def compare(path: Path, rounds: int) -> list[Comparison]:
    """Every pair: plain, fused and compressed."""
    few, packed = min(rounds, 2), Path(f"{path}.gz")
    plain = {"ours": partial(extract, path), "peer": partial(peer, path), "floor": partial(read_bytes, path)}
    fused = {"ours": partial(windows, path), "peer": partial(peer_windows, path), "floor": partial(read_bytes, path)}
    pairs = []
    for name, ways, peer_name, (warm, cold), memory_bars in (
        ("extract", plain, PLAIN, (10, 6), (10, None)),
        ("extract, windows", fused, FUSED, (20, 15), (None, 40_000_000)),
    ):
        check_equal(ways, exact=name == "extract")
        ways = {key: timed(action) for key, action in ways.items()}
        values, memory = take_turns(ways, rounds=rounds), peak_memory(ways)
        pairs.append(Comparison(name, peer_name, "s", values, memory, (warm, *memory_bars)))
        values = take_turns(ways, rounds=rounds, before=partial(evict, path))
        pairs.append(Comparison(f"{name}, cold", peer_name, "s", values, {}, (cold, None, None)))
    in_child(partial(compress, path, packed))
    ways = {
        "ours": partial(extract, packed),
        "peer": partial(peer_compressed, packed),
        "floor": partial(inflate, packed),
    }
    check_equal(ways, exact=True)
    ways = {key: timed(action) for key, action in ways.items()}
    values, memory = take_turns(ways, rounds=few), peak_memory(ways)
    return [*pairs, Comparison("extract, .nii.gz", "nibabel get_fdata()", "s", values, memory, (5, None, None))]


def write(path: Path) -> None:
    """A run whose vertices fluctuate by 1 % around 10,000."""
    values = np.random.default_rng(0).standard_normal((atlas.GRAYORDINATES, VOLUMES), dtype=np.float32)
    values *= 100
    values += 10_000
    write_series(path, values, repetition_time=0.72)


def compress(path: Path, packed: Path) -> None:
    """As nibabel compresses: zlib, level 1."""
    with path.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def check_equal(ways: Mapping[str, Callable[[], np.ndarray]], *, exact: bool) -> None:
    """Refuse to time what does not give the same."""

    def equal() -> bool:
        ours, theirs = ways["ours"](), ways["peer"]()
        return np.array_equal(ours, theirs) if exact else np.allclose(ours, theirs, rtol=0, atol=1e-5)

    if not in_child(equal)[0]:
        raise SystemExit("ours and the peer's result differ")


def extract(path: Path) -> np.ndarray:
    """Ours: float32 (1200, 13156)."""
    header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES)
    return cifti.read(header, VERTICES, n_rows=header.maps, transform=lambda series: series)


def windows(path: Path) -> np.ndarray:
    """Ours, fused: float32 (120, 13156)."""
    header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES)
    return cifti.read(header, VERTICES, n_rows=len(EDGES) - 1, transform=lambda s: hcp.windows(s, EDGES)[0])


def peer(path: Path) -> np.ndarray:
    """What tutorials do."""
    return nib.load(path).get_fdata()[:, VERTICES]


def peer_windows(path: Path) -> np.ndarray:
    """What the released code does: z-score of the run, then means of tenths."""
    series = peer(path)
    series = (series - series.mean(axis=0)) / series.std(axis=0)
    return np.stack([part.mean(axis=0) for part in np.array_split(series, VOLUMES // WINDOW)])


def peer_compressed(path: Path) -> np.ndarray:
    """nibabel takes a .dtseries.nii.gz for a NIfTI of six dimensions."""
    return nib.load(path).get_fdata()[0, 0, 0, 0][:, VERTICES]


def read_bytes(path: Path) -> None:
    """The floor: the wanted series into one buffer."""
    header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES)
    size, wanted = header.maps * 4, np.unique(VERTICES)
    edges = (np.flatnonzero(np.diff(wanted) != 1) + 1).tolist()
    buffer = memoryview(bytearray(1 << 23))
    with path.open("rb", buffering=0) as file:
        for a, b in zip([0, *edges], [*edges, len(wanted)], strict=True):
            file.seek(header.offset + int(wanted[a]) * size)
            file.readinto(buffer[: (b - a) * size])


def inflate(path: Path) -> None:
    """The floor of a compressed file: inflate it up to the last vertex wanted."""
    header = cifti.read_header(path, grayordinates=atlas.GRAYORDINATES)
    left, buffer = header.offset + (int(VERTICES.max()) + 1) * header.maps * 4, bytearray(1 << 20)
    with igzip.open(path, "rb") as file:
        while left > 0:
            left -= file.readinto(buffer)
