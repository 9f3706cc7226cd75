"""Settings of alignment; without torch, so that a workflow can check them early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from brainflix.errors import InputError
from brainflix.models.settings import TrainingSettings


@dataclass(frozen=True)
class ContrastiveSettings:
    """What is contrasted with what.

    Attributes:
        temperature: divides the cosines; where it is learned, where it starts.
        symmetric: also let a caption choose among brain embeddings (CLIP); the paper does not.
        positives: ``diagonal``: only a row's own caption is right, so other repeats of the same
            stimulus in a batch count as wrong; ``stimulus``: all of them are right.
        centre_targets: subtract the mean training target before the cosine.
    """

    temperature: float
    symmetric: bool
    positives: Literal["diagonal", "stimulus"]
    centre_targets: bool

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise InputError(f"settings: temperature must be more than 0, found {self.temperature}")


@dataclass(frozen=True)
class HeldOutSettings:
    """When to stop: training stimuli that nothing is learned from are looked at after every epoch.

    Attributes:
        share: of the training stimuli of each dataset, in blocks of neighbours drawn by the seed.
        patience: epochs without a better retrieval of the held-out stimuli before the run ends.
    """

    share: float
    patience: int

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"settings: held_out.share must lie between 0 and 1, found {self.share}")
        if self.patience < 1:
            raise InputError(f"settings: held_out.patience must be at least 1, found {self.patience}")


@dataclass(frozen=True)
class AlignSettings:
    """The loss, what stands around the encoder, and how it is trained.

    Attributes:
        loss: what is contrasted with what.
        largest_scale: the factor on the cosines, 1 / temperature, is learned up to this (CLIP: 100);
            None keeps it fixed.
        sample_captions: draw one caption of a stimulus per row and step in place of their mean.
        projector_hidden: hidden units of a projector of three layers, used here alone; None has none,
            or one linear layer where the widths of embedding and captions differ.
        adapter_rank: rank of a correction of the responses per subject, nothing at the start; None has none.
        held_out: stop early; None trains all epochs.
        mbm_weight: weight of the loss of masked brain modelling beside the contrastive one.
        training: the loop's settings.
    """

    loss: ContrastiveSettings
    largest_scale: float | None
    sample_captions: bool
    projector_hidden: int | None
    adapter_rank: int | None
    held_out: HeldOutSettings | None
    mbm_weight: float
    training: TrainingSettings

    def __post_init__(self) -> None:
        if self.largest_scale is not None and self.largest_scale * self.loss.temperature < 1:
            start = 1 / self.loss.temperature
            raise InputError(
                f"settings: largest_scale must be at least {start:g}, where it starts; found {self.largest_scale:g}"
            )
        for name in ("projector_hidden", "adapter_rank"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"settings: {name} must be at least 1, found {value}")
        if self.training.batch < 2 * self.training.accumulate:
            found = f"batch {self.training.batch} with accumulate {self.training.accumulate}"
            raise InputError.about("settings", expected="at least two rows at a time, to contrast", found=found)
        if self.mbm_weight < 0:
            raise InputError(f"settings: mbm_weight must not be negative, found {self.mbm_weight:g}")
