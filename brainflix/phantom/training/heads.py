"""Small heads that are trained along with a vision tower and thrown away: they say what to look for.

From a clip's features they read the attributes that captions tell; from a single frame also where the
object is and how big, in bins: averaged over frames such features are a histogram of places, which
tells motions apart. Textures must come first: once colour is learned, a tower's norms hide them for
thousands of steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from brainflix.phantom import world

ATTRIBUTES = {
    "kind": world.KINDS,
    "colour": world.COLOURS,
    "motion": world.MOTIONS,
    "background": world.BACKGROUNDS,
}
TEXTURE, STILL, CLIP = ("background",), ("kind", "colour", "background"), tuple(ATTRIBUTES)
PLACE_BINS = 10  # of x, y and size each


class Heads(nn.Module):
    """Classifiers on features (image or clip, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = {name: nn.Sequential(nn.Linear(width, width), nn.GELU()) for name in ATTRIBUTES}
        self.attributes_of = nn.ModuleDict(
            {name: nn.Sequential(hidden[name], nn.Linear(width, len(v))) for name, v in ATTRIBUTES.items()}
        )
        self.place = nn.Linear(width, 3 * PLACE_BINS)

    def attributes(self, features: Tensor, scenes: Sequence[world.Scene], names: Sequence[str]) -> Tensor:
        """Mean cross-entropy of the attributes ``names``."""
        losses = []
        for name in names:
            truth = torch.tensor([ATTRIBUTES[name].index(getattr(s, name)) for s in scenes])
            losses.append(nn.functional.cross_entropy(self.attributes_of[name](features), truth))
        return torch.stack(losses).mean()

    def places(self, features: Tensor, places: np.ndarray) -> Tensor:
        """Cross-entropy of the bins of x and y (over the frame) and size (over 0.2 to 0.6 of it).

        Args:
            places: (image, 3) of x, y and size.
        """
        share = torch.from_numpy(places - [0.0, 0.0, 0.2]) / torch.tensor([1.0, 1.0, 0.4])
        bins = (share * PLACE_BINS).long().clamp(0, PLACE_BINS - 1)
        logits = self.place(features).unflatten(1, (3, PLACE_BINS))
        return nn.functional.cross_entropy(logits.flatten(0, 1), bins.flatten())
