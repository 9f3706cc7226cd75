"""Stage 1a: masked brain modelling."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from brainflix import artifacts
from brainflix.cohort import read_cohort
from brainflix.models.mbm import MaskedBrainModel, MbmSettings, initialise
from brainflix.settings import Settings
from brainflix.training import TrainingSettings


@dataclass(frozen=True)
class PretrainSettings:
    """The model, and how it is trained."""

    model: MbmSettings
    training: TrainingSettings


def pretrain(
    *,
    responses: list[Path],
    out: Path,
    settings: Settings[PretrainSettings],
    seed: int,
    checkpoints: Path,
    threads: int,
    checkpoint_seconds: float = 300.0,
    max_seconds: float | None = None,
) -> None:
    """Train an encoder to fill in masked responses.

    Only rows of split ``train`` and ``rest`` are read; test responses play no part.

    Parameters
    ----------
    responses: responses of any subjects and datasets, on the same vertices.
    out: the weights (safetensors): ``encoder.*`` and ``decoder.*``.
    settings: PretrainSettings as JSON.
    seed: of weights, order of rows and masks.
    checkpoints: folder for the state of an unfinished run and its training curve.
    threads: CPU threads.
    checkpoint_seconds: time between checkpoints.
    max_seconds: save and leave with exit code 75 after so long.
    """
    import torch

    from brainflix.checkpoints import Checkpoints
    from brainflix.training import train, use_threads

    device = use_threads(threads)
    cohort = read_cohort(responses, kind="responses", splits=("train", "rest"), agree=("space",))
    model = MaskedBrainModel(settings.model, vertices=cohort.shape[0])
    initialise(model, seed=seed)
    model.to(device)
    stage = {"step": "pretrain", "training": asdict(settings.training), "on": cohort.sources, "seed": seed}
    header = {
        "kind": "encoder",
        "simulated": cohort.about["simulated"],
        "space": cohort.about["space"],
        "vertices": cohort.shape[0],
        "model": asdict(settings.model),
        "stages": [stage],
    }
    store = Checkpoints(
        checkpoints,
        identity={**header, "data": cohort.fingerprint()},
        every_seconds=checkpoint_seconds,
        max_seconds=max_seconds,
    )
    curve = train(
        name="pretrain",
        model=model,
        loss=lambda rows, generator: model.loss(torch.from_numpy(cohort.take(rows)).to(device), generator),
        n_rows=len(cohort),
        settings=settings.training,
        seed=seed,
        store=store,
    )
    artifacts.save_weights(out, model.cpu().state_dict(), header)
    store.finish(curve)
