"""Stage 1b: aligning an encoder with the captions of what was seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainflix import artifacts
from brainflix.cohort import Cohort, match, read_cohort
from brainflix.models.losses import ContrastiveSettings
from brainflix.settings import Settings
from brainflix.training import TrainingSettings

if TYPE_CHECKING:
    import torch

    from brainflix.models.mbm import Encoder


@dataclass(frozen=True)
class AlignSettings:
    """The loss, and how it is minimised."""

    loss: ContrastiveSettings
    training: TrainingSettings


def align(
    *,
    init: Path,
    responses: list[Path],
    targets: list[Path],
    out: Path,
    settings: Settings[AlignSettings],
    seed: int,
    checkpoints: Path,
    threads: int,
    checkpoint_seconds: float = 300.0,
    max_seconds: float | None = None,
) -> None:
    """Train an encoder's embedding of a response to point where its caption's embedding points.

    Only training rows are read, single trials each. An embedding whose width is not that of the
    captions goes through a linear layer first, which is kept but not used by later steps.

    Parameters
    ----------
    init: encoder to start from.
    responses: responses of any subjects, on the encoder's vertices.
    targets: text embeddings (width,) of their datasets' stimuli, means over the captions of a clip.
    out: the weights (safetensors): ``encoder.*`` and, where widths differ, ``projector.*``.
    settings: AlignSettings as JSON.
    seed: of the order of rows.
    checkpoints: folder for the state of an unfinished run and its training curve.
    threads: CPU threads.
    checkpoint_seconds: time between checkpoints.
    max_seconds: save and leave with exit code 75 after so long.
    """
    from brainflix.checkpoints import Checkpoints
    from brainflix.models.mbm import load_encoder
    from brainflix.training import train, use_threads

    device = use_threads(threads)
    tensors, before = artifacts.load_weights(init, kind="encoder")
    cohort = read_cohort(responses, kind="responses", splits=("train",), agree=("space",))
    artifacts.common_about([before, cohort.about], "space")
    captions = read_cohort(targets, kind="targets", splits=("train",), agree=("model", "revision", "settings"))
    model = _with_projector(load_encoder(tensors, before), captions.shape[0], seed).to(device)
    stage = {
        "step": "align",
        **asdict(settings),
        "on": cohort.sources,
        "seed": seed,
        "text": captions.about["model"],
    }
    header = {**before, "stages": [*before["stages"], stage]}
    data = [cohort.fingerprint(), captions.fingerprint()]
    store = Checkpoints(
        checkpoints,
        identity={**header, "data": data},
        every_seconds=checkpoint_seconds,
        max_seconds=max_seconds,
    )
    curve = train(
        name="align",
        model=model,
        loss=_loss(model, cohort, captions, settings.loss, device),
        n_rows=len(cohort),
        settings=settings.training,
        seed=seed,
        store=store,
    )
    artifacts.save_weights(out, model.cpu().state_dict(), header)
    store.finish(curve)


def _with_projector(encoder: Encoder, width: int, seed: int) -> torch.nn.ModuleDict:
    import torch

    if encoder.settings.width == width:
        return torch.nn.ModuleDict({"encoder": encoder})
    projector = torch.nn.Linear(encoder.settings.width, width)
    generator = torch.Generator().manual_seed(seed)
    torch.nn.init.xavier_uniform_(projector.weight, generator=generator)
    torch.nn.init.zeros_(projector.bias)
    return torch.nn.ModuleDict({"encoder": encoder, "projector": projector})


def _loss(model: torch.nn.ModuleDict, cohort: Cohort, captions: Cohort, settings: ContrastiveSettings, device):
    import torch

    from brainflix.models.losses import contrastive_loss

    wanted = match(cohort, captions)
    text = torch.from_numpy(captions.all())
    if settings.centre_targets:
        text = text - text[torch.from_numpy(wanted)].mean(dim=0)
    text, stimuli = text.to(device), torch.from_numpy(wanted).to(device)

    def loss(rows, generator):
        brain = model["encoder"].embedding(torch.from_numpy(cohort.take(rows)).to(device))
        if "projector" in model:
            brain = model["projector"](brain)
        here = stimuli[torch.from_numpy(rows).to(device)]
        return contrastive_loss(brain, text[here], here, settings)

    return loss
