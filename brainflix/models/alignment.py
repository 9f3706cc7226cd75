"""What stands around an encoder while it is aligned with captions.

    response -> adapter of the subject -> encoder -> embedding -> projector -> cosine with a caption, scaled

The embedding is what later steps take: projector and scale are there for the contrast alone, so that the
embedding need not itself lie where captions lie (as in MindEye). Every part but the encoder is optional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from brainflix.models.alignment_settings import AlignSettings
from brainflix.models.mbm import Encoder

Subjects = Sequence[Sequence[str]]  # [dataset, subject] each


class SubjectAdapter(nn.Module):
    """A correction of low rank r of each subject's responses: x + x A_s B_s, with B_s = 0 at the start.

    Vertices correspond across subjects (fsLR), so it starts as nothing. A full matrix in front of the encoder would
    have 13,156^2 = 173 million numbers a subject, and one behind it could not undo what pooling has mixed; this has
    26,312 r. Somebody unknown gets the mean of all corrections, x + mean_s(x A_s B_s). The factors of all subjects
    lie side by side, and weights say whose count: two products serve a batch of several subjects.
    """

    def __init__(self, subjects: Subjects, *, vertices: int, rank: int) -> None:
        super().__init__()
        self.subjects = [tuple(subject) for subject in subjects]
        self.down = nn.Parameter(torch.zeros(vertices, len(subjects) * rank))
        self.up = nn.Parameter(torch.zeros(len(subjects) * rank, vertices))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Correct x (batch, vertices) by ``weights`` (batch, subjects), see :meth:`weights`."""
        hidden = (x @ self.down).view(len(x), len(self.subjects), -1) * weights[:, :, None]
        return x + hidden.flatten(1) @ self.up

    def weights(self, whose: Subjects) -> Tensor:
        """Whose correction counts (n, subjects) for rows of these [dataset, subject]: one's own, or all alike."""
        number = {subject: i for i, subject in enumerate(self.subjects)}
        table = torch.eye(len(number) + 1, len(number))
        table[-1] = 1 / len(number)
        return table[[number.get(tuple(who), -1) for who in whose]]


class Alignment(nn.Module):
    """An encoder and the parts around it that ``settings`` ask for.

    Args:
        text_width: width of the captions' embeddings.
        subjects: who is adapted to.
        seed: of the new parts' weights.
    """

    def __init__(self, encoder: Encoder, settings: AlignSettings, *, text_width: int, subjects: Subjects, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.encoder = encoder
        self.projector = _projector(encoder.settings.width, text_width, settings.projector_hidden, generator)
        self.adapter, self.log_scale, self.largest = None, None, settings.largest_scale
        if settings.adapter_rank:
            self.adapter = SubjectAdapter(subjects, vertices=encoder.vertices, rank=settings.adapter_rank)
            nn.init.normal_(self.adapter.down, std=encoder.vertices**-0.5, generator=generator)
        if settings.largest_scale:
            self.log_scale = nn.Parameter(torch.tensor(-math.log(settings.loss.temperature)))

    def forward(self, x: Tensor, weights: Tensor | None) -> Tensor:
        """Responses (batch, vertices) to what is compared with captions (batch, text_width)."""
        embedding = self.encoder.embedding(x if self.adapter is None else self.adapter(x, weights))
        return embedding if self.projector is None else self.projector(embedding)

    def scale(self) -> Tensor | None:
        """What multiplies the cosines, None where it is not learned; first cut to its largest value (CLIP)."""
        if self.log_scale is None:
            return None
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(self.largest))
        return self.log_scale.exp()


def _projector(width: int, text_width: int, hidden: int | None, generator: torch.Generator) -> nn.Module | None:
    """MindEye's: norm, GELU, linear, three times. Without it, one linear layer where widths differ."""
    if hidden is None:
        projector = nn.Linear(width, text_width) if width != text_width else None
    else:
        sizes = [width, hidden, hidden, text_width]
        layers = [(nn.LayerNorm(a), nn.GELU(), nn.Linear(a, b)) for a, b in pairwise(sizes)]
        projector = nn.Sequential(*(layer for group in layers for layer in group))
    for layer in projector.modules() if projector else ():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
    return projector


def load_adapter(tensors: Mapping[str, Any], header: Mapping[str, Any]) -> SubjectAdapter | None:
    """The adapter of an encoder's file: ``adapter.*`` and ``adapters``, its subjects; None where there is none."""
    if "adapters" not in header:
        return None
    vertices, columns = tensors["adapter.down"].shape
    adapter = SubjectAdapter(header["adapters"], vertices=vertices, rank=columns // len(header["adapters"]))
    adapter.load_state_dict({name: torch.as_tensor(tensors[f"adapter.{name}"]) for name in ("down", "up")})
    return adapter.eval()
