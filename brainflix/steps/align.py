"""Stage 1b: aligning an encoder with the captions of what was seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainflix import artifacts
from brainflix.cohort import Cohort, read_cohort, refuse_other_vertices
from brainflix.errors import InputError
from brainflix.models.alignment_settings import AlignSettings
from brainflix.settings import Settings
from brainflix.texts import Texts, held_out, texts_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from brainflix.checkpoints import Checkpoints
    from brainflix.early import EarlyStopping
    from brainflix.models.alignment import Alignment
    from brainflix.models.mbm import Encoder, MaskedBrainModel
    from brainflix.training import Loss

ROWS_AT_ONCE = 64  # held-out rows


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
    curve: Path | None = None,
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
    targets: text embeddings (width,) of their datasets' stimuli: means over the captions of a clip, or
        each caption's own where the settings sample them.
    out: the weights (safetensors): ``encoder.*`` and, where there is one, ``projector.*``, ``adapter.*``,
        ``log_scale``, ``decoder.*``.
    settings: AlignSettings as JSON.
    seed: of the order of rows, new weights, captions drawn and stimuli held out.
    checkpoints: folder for the state of an unfinished run and its training curve.
    threads: CPU threads.
    curve: table of the loss as training went: step, epoch, learning_rate, loss.
    checkpoint_seconds: time between checkpoints.
    max_seconds: save and leave with exit code 75 after so long.
    """
    from brainflix import crew
    from brainflix.checkpoints import Checkpoints, write_curve
    from brainflix.models.alignment import Alignment
    from brainflix.training import train, use_threads

    device = use_threads(threads)
    encoder, masked, before = _start(init, with_decoder=settings.mbm_weight > 0)
    cohort = read_cohort(responses, kind="responses", splits=("train",), agree=("space",))
    refuse_other_vertices(init, before, cohort)
    captions = read_cohort(targets, kind="targets", splits=("train",), agree=("model", "revision", "settings", "each"))
    texts = texts_of(cohort, captions, each=settings.sample_captions)
    model = Alignment(encoder, settings, text_width=captions.shape[0], subjects=cohort.sources, seed=seed)
    if masked is not None:
        model.decoder = masked.to(device).decoder
    model.to(device)
    hidden = _held_out(cohort, texts, settings, seed)
    learned, judged = (_Rows(model, cohort.where(mask), texts.at(mask)) for mask in (~hidden, hidden))
    # What is off leaves no trace, so that a file is the same whether or not there is such a choice.
    chosen = {name: value for name, value in asdict(settings).items() if value}
    chosen["training"] = settings.training.stated(len(learned.cohort))
    stage = {"step": "align", **chosen, "on": cohort.sources, "seed": seed, "text": captions.about["model"]}
    header = {**before, "stages": [*before["stages"], stage]}
    if model.adapter is not None:
        header["adapters"] = cohort.sources
    store = Checkpoints(
        checkpoints,
        identity={**header, "data": [cohort.fingerprint(), captions.fingerprint()]},
        every_seconds=checkpoint_seconds,
        max_seconds=max_seconds,
    )
    early = _early_stopping(store, learned, judged, settings)
    losses = train(
        name="align",
        model=model,
        loss=_loss(learned, masked, settings),
        fetch=learned.fetch,
        hints=learned.cohort,
        n_rows=len(learned.cohort),
        settings=settings.training,
        seed=seed,
        store=early or store,
    )
    if early is not None:
        early.restore()
        stage |= {"held_out_scores": early.scores, "best_epoch": early.best_epoch}
    if crew.is_main():
        artifacts.save_weights(out, model.cpu().state_dict(), header)
        if curve is not None:
            write_curve(curve, losses)
        store.finish(losses)


def _start(init: Path, *, with_decoder: bool) -> tuple[Encoder, MaskedBrainModel | None, dict[str, Any]]:
    """The encoder of a file, in the masked model that it was trained in where the decoder is wanted; its header."""
    from brainflix.models.mbm import load_encoder, load_model

    tensors, header = artifacts.load_weights(init, kind="encoder")
    if "adapters" in header:
        raise InputError.about(init, expected="an encoder without adapters to start from", found="one that has some")
    if not with_decoder:
        return load_encoder(tensors, header), None, header
    own = {name: value for name, value in tensors.items() if name.startswith(("encoder.", "decoder."))}
    if not any(name.startswith("decoder.") for name in own):
        raise InputError.about(init, expected="a decoder, as mbm_weight is not 0", found="none")
    masked = load_model(own, header)
    return masked.encoder, masked, header


@dataclass(frozen=True)
class _Rows:
    """Rows of responses, their captions, and the model that brings the two together."""

    model: Alignment
    cohort: Cohort
    texts: Texts

    @cached_property
    def weights(self) -> Tensor | None:
        """Whose adapter each row goes through."""
        adapter = self.model.adapter
        return None if adapter is None else adapter.weights(self.cohort.rows[["dataset", "subject"]].values.tolist())

    @property
    def device(self) -> torch.device:
        return self.model.encoder.class_token.device

    def fetch(self, index: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Responses (batch, vertices) of rows ``index``, and which they are."""
        import torch

        return torch.from_numpy(self.cohort.take(index)), index

    def embed(self, responses: Tensor, index: np.ndarray) -> Tensor:
        """What is compared with captions (batch, width), of ``responses``, which are rows ``index``."""
        weights = None if self.weights is None else self.weights[index].to(self.device)
        return self.model(responses.to(self.device), weights)


def _loss(rows: _Rows, masked: MaskedBrainModel | None, settings: AlignSettings) -> Loss:
    """What is minimised: the contrast of all rows of a step and, if asked for, masked modelling of the same rows."""
    import torch

    from brainflix.models.losses import contrastive_loss

    centre = _centre(rows.texts, settings)

    def loss(batch: tuple[Tensor, np.ndarray], generator: torch.Generator) -> Tensor:
        responses, index = batch[0].to(rows.device, non_blocking=True), batch[1]
        brain = rows.embed(responses, index)
        captions = torch.from_numpy(rows.texts.draw(index, generator) - centre).to(rows.device)
        stimuli = torch.from_numpy(rows.texts.stimulus[index]).to(rows.device)
        value = contrastive_loss(brain, captions, stimuli, settings.loss, rows.model.scale())
        return value if masked is None else value + settings.mbm_weight * masked.loss(responses, generator)

    return loss


def _centre(texts: Texts, settings: AlignSettings) -> np.ndarray:
    """What is subtracted from captions (width,): nothing, or the mean of those that are learned from."""
    return texts.centre() if settings.loss.centre_targets else np.zeros(texts.values.shape[1], np.float32)


def _held_out(cohort: Cohort, texts: Texts, settings: AlignSettings, seed: int) -> np.ndarray:
    if settings.held_out is None:
        return np.zeros(len(cohort), bool)
    return held_out(cohort, texts, share=settings.held_out.share, seed=seed)


def _early_stopping(store: Checkpoints, learned: _Rows, judged: _Rows, settings: AlignSettings) -> EarlyStopping | None:
    from brainflix.early import EarlyStopping

    if settings.held_out is None:
        return None
    centre = _centre(learned.texts, settings)
    steps = len(learned.cohort) // settings.training.batch
    patience = settings.held_out.patience
    return EarlyStopping(store, learned.model, lambda: _retrieval(judged, centre), epoch_steps=steps, patience=patience)


def _retrieval(rows: _Rows, centre: np.ndarray) -> float:
    """Mean reciprocal rank of a response's own captions among those of the rows of its dataset; mean over datasets."""
    import torch

    from brainflix import metrics

    with torch.inference_mode():
        parts = np.split(np.arange(len(rows.cohort)), range(ROWS_AT_ONCE, len(rows.cohort), ROWS_AT_ONCE))
        brain = np.concatenate([rows.embed(*rows.fetch(part)).float().cpu().numpy() for part in parts])
    captions, dataset = rows.texts.means() - centre, rows.cohort.rows["dataset"].to_numpy()
    scores = []
    for name in np.unique(dataset):
        here = dataset == name
        # Stimuli with the same captions cannot be told apart, nor need they.
        gallery, truth = np.unique(captions[rows.texts.stimulus[here]], axis=0, return_inverse=True)
        _, cosines = metrics.pairwise_distances(brain[here], gallery, centre=np.zeros_like(centre))
        scores.append(np.mean(1 / metrics.retrieval_rank(cosines, truth)))
    return float(np.mean(scores))
