"""The paper's random baseline: noise in place of responses."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from brainflix import artifacts
from brainflix.config import GAUSSIAN


def gaussian(*, responses: Path, seed: int, out: Path) -> None:
    """Write independent N(0, 1) noise for every test row of a file of responses.

    Nothing of the responses is used but the names of their rows. A row's noise depends on the seed,
    the dataset, the subject and the row's place among the test rows.

    Parameters
    ----------
    responses: the file to imitate.
    seed: of the noise.
    out: responses of the same form; their subject is ``gaussian``, as they are nobody's.
    """
    real = artifacts.read(responses, kind="responses", load=False)
    rows = real.rows[real.rows["split"] == "test"].reset_index(drop=True)
    who = zlib.crc32(f"{real.about['dataset']}/{real.about['subject']}".encode())
    with artifacts.create(
        out,
        kind="responses",
        shape=(len(rows), *real.values.shape[1:]),
        dtype=np.float32,
        rows=rows,
        axes=real.axes,
        unit=real.unit,
        about={
            **{key: value for key, value in real.about.items() if key != "nan_vertices"},
            "subject": GAUSSIAN,
            "rows_of": real.about["subject"],
            "normalisation": "none: independent N(0, 1) noise, not responses",
            "gaussian_seed": seed,
        },
    ) as values:
        for row in range(len(rows)):
            rng = np.random.default_rng([seed, who, row])
            values[row] = rng.standard_normal(real.values.shape[1:], np.float32)
