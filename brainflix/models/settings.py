"""Settings that are wrong together though each is right alone; without torch, so a workflow can check them early."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from brainflix.errors import InputError


@dataclass(frozen=True)
class MbmSettings:
    """Sizes of the masked autoencoder.

    Attributes:
        patch: vertices per token.
        width, depth, heads: encoder transformer.
        mlp_ratio: hidden units of a block's MLP, in widths (encoder and decoder).
        decoder_width, decoder_depth, decoder_heads: decoder transformer.
        mask_ratio: share of patches hidden from the encoder.
        pool: the embedding of a response: mean over patch tokens, or the class token
            (neither paper nor released code says which).
    """

    patch: int
    width: int
    depth: int
    heads: int
    mlp_ratio: float
    decoder_width: int
    decoder_depth: int
    decoder_heads: int
    mask_ratio: float
    pool: Literal["patches", "class"]

    def __post_init__(self) -> None:
        if self.width % self.heads or self.decoder_width % self.decoder_heads:
            raise InputError("settings: width must be a multiple of heads, in encoder and decoder")
        if not 0 < self.mask_ratio < 1:
            raise InputError(f"settings: mask_ratio must lie between 0 and 1, found {self.mask_ratio}")


@dataclass(frozen=True)
class BlockSettings:
    """How rows are shuffled that do not fit memory; see :mod:`brainflix.feed`.

    Attributes:
        rows: neighbours in a file that are read together.
        window: blocks whose rows are shuffled together, and lie in memory; data that fit one are shuffled freely.
    """

    rows: int
    window: int

    def __post_init__(self) -> None:
        if self.rows < 1 or self.window < 1:
            raise InputError(
                f"settings: blocks.rows and blocks.window must be at least 1, found {self.rows}, {self.window}"
            )

    @property
    def window_rows(self) -> int:
        """Rows that are shuffled together."""
        return self.rows * self.window


@dataclass(frozen=True)
class TrainingSettings:
    """How to optimise.

    Attributes:
        epochs: passes over the rows; rows that do not fill a last batch are left out of a pass.
        batch: rows per optimiser step.
        accumulate: equal parts a batch is computed in, to fit memory; a contrastive loss then contrasts the rows
            of a part, and batch normalisation uses its statistics.
        learning_rate: peak; rises linearly over the warm-up, then falls as half a cosine to 0.
        warmup_epochs: length of the warm-up.
        weight_decay: of AdamW, on matrices only.
        betas: of AdamW.
        clip_norm: largest norm of the gradient; None does not clip.
        precision: of matrix products; weights stay float32.
        compile: let torch.compile fuse what a transformer's blocks do; gains nothing on a CPU.
        blocks: shuffle by blocks of neighbours, for data larger than memory; None shuffles rows.
    """

    epochs: int
    batch: int
    accumulate: int
    learning_rate: float
    warmup_epochs: float
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float | None
    precision: Literal["float32", "bfloat16"]
    compile: bool
    blocks: BlockSettings | None

    def __post_init__(self) -> None:
        if self.batch % self.accumulate:
            raise InputError(f"settings: batch {self.batch} cannot be split into {self.accumulate} equal parts")

    def stated(self, n_rows: int) -> dict[str, Any]:
        """What a file says about its training on ``n_rows`` rows: what is off leaves no trace."""
        values = asdict(self)
        if not self.compile:
            del values["compile"]
        if self.blocks is None or n_rows <= self.blocks.window_rows:
            del values["blocks"]
        return values
