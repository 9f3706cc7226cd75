"""Stage 1a: masked brain modelling."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainflix import artifacts
from brainflix.checkpoints import differences
from brainflix.cohort import Cohort, read_cohort, refuse_other_vertices
from brainflix.errors import InputError
from brainflix.models.mbm import MaskedBrainModel, MbmSettings, initialise, load_model
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
    init: Path | None = None,
    curve: Path | None = None,
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
    init: weights of encoder and decoder to go on from, of the same settings; new ones without it.
    curve: table of the loss as training went: step, epoch, learning_rate, loss.
    checkpoint_seconds: time between checkpoints.
    max_seconds: save and leave with exit code 75 after so long.
    """
    import torch

    from brainflix import crew
    from brainflix.checkpoints import Checkpoints, write_curve
    from brainflix.training import train, use_threads

    device = use_threads(threads)
    cohort = read_cohort(responses, kind="responses", splits=("train", "rest"), agree=("space",))
    model, before = _start(init, settings.model, cohort, seed)
    model.to(device)
    stage = {"step": "pretrain", "training": settings.training.stated(len(cohort)), "on": cohort.sources, "seed": seed}
    header = {**before, "stages": [*before["stages"], stage]}
    store = Checkpoints(
        checkpoints,
        identity={**header, "data": cohort.fingerprint()},
        every_seconds=checkpoint_seconds,
        max_seconds=max_seconds,
    )
    losses = train(
        name="pretrain",
        model=model,
        loss=lambda x, generator: model.loss(x.to(device, non_blocking=True), generator),
        fetch=lambda rows: torch.from_numpy(cohort.take(rows)),
        hints=cohort,
        n_rows=len(cohort),
        settings=settings.training,
        seed=seed,
        store=store,
    )
    if crew.is_main():
        artifacts.save_weights(out, model.cpu().state_dict(), header)
        if curve is not None:
            write_curve(curve, losses)
        store.finish(losses)


def _start(
    init: Path | None, settings: MbmSettings, cohort: Cohort, seed: int
) -> tuple[MaskedBrainModel, dict[str, Any]]:
    """The model to train, new or of a file, and what a header says of it."""
    if init is None:
        model = MaskedBrainModel(settings, vertices=cohort.shape[0])
        initialise(model, seed=seed)
        about = {"kind": "encoder", "vertices": cohort.shape[0], "model": asdict(settings), "stages": []}
        return model, {**about, "simulated": cohort.about["simulated"], "space": cohort.about["space"]}
    tensors, header = artifacts.load_weights(init, kind="encoder")
    refuse_other_vertices(init, header, cohort)
    if changed := differences(header["model"], asdict(settings)):
        raise InputError.about(
            init, expected="the model that the settings describe", found=f"another ({'; '.join(changed)})"
        )
    stacks = sorted({name.split(".")[0] for name in tensors})
    if stacks != ["decoder", "encoder"]:
        expected = "an encoder and its decoder alone, to go on pretraining"
        raise InputError.about(init, expected=expected, found=", ".join(stacks))
    return load_model(tensors, header), header
