"""Running an encoder over responses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainflix import artifacts
from brainflix.cohort import read_cohort, refuse_other_vertices


def embed(*, encoder: Path, responses: list[Path], out: list[Path], threads: int, batch: int = 64) -> None:
    """Give every response, of every split, its embedding.

    Where the encoder has adapters, a response goes through that of its subject; through the mean of all if the
    encoder has never seen the subject.

    Parameters
    ----------
    encoder: weights made by ``pretrain`` or ``align``.
    responses: one or more files of responses.
    out: as many files of embeddings (width,) float32, with the same rows.
    threads: CPU threads.
    batch: responses at a time.
    """
    import torch

    from brainflix.models.alignment import load_adapter
    from brainflix.models.mbm import load_encoder
    from brainflix.training import use_threads

    device = use_threads(threads)
    tensors, header = artifacts.load_weights(encoder, kind="encoder")
    model, adapter = load_encoder(tensors, header).to(device), load_adapter(tensors, header)
    if adapter is not None:
        adapter.to(device)
    for source, destination in zip(responses, out, strict=True):
        before = artifacts.read(source, kind="responses", load=False)
        cohort = read_cohort([source], kind="responses", splits=set(before.rows["split"]), agree=("space",))
        refuse_other_vertices(encoder, header, cohort)
        about = {**before.about, "encoder": {k: header[k] for k in ("model", "stages")}}
        with (
            artifacts.create(
                destination,
                kind="embeddings",
                shape=(len(cohort), model.settings.width),
                dtype=np.float32,
                rows=before.rows,
                axes=("width",),
                unit="a.u.",
                about=about,
            ) as values,
            torch.inference_mode(),
        ):
            for start in range(0, len(cohort), batch):
                index = np.arange(start, min(start + batch, len(cohort)))
                x = torch.from_numpy(cohort.take(index)).to(device)
                if adapter is not None:
                    whose = cohort.rows[["dataset", "subject"]].iloc[index].values.tolist()
                    x = adapter(x, adapter.weights(whose).to(device))
                values[start : start + batch] = model.embedding(x).cpu().numpy()
