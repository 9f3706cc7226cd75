"""Pretrained models behind small protocols, loaded by name or local folder.

A model is named by

- ``brainflix:tiny/generator``: a folder that ships inside this package,
- a local folder in diffusers' or transformers' own layout,
- an id on the Hugging Face hub, such as ``cerspense/zeroscope_v2_576w``
  (``HF_HUB_OFFLINE=1`` keeps it to the local cache),
- for classifiers also a name in :data:`CLASSIFIERS`, whose weights come with a Python package.

Nothing heavy is imported before a model is asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from brainflix.errors import InputError
from brainflix.frozen.protocols import Captioner, Classifier, ImageEncoder, Precision, TextEncoder, VideoGenerator

SHIPPED = Path(__file__).parent
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def resolve(name: str) -> str:
    """What to hand to ``from_pretrained``: a local folder that exists, or an id on the hub.

    Raises:
        InputError: the name is neither, or its folder does not exist.
    """
    if name.startswith("brainflix:"):
        folder = SHIPPED / name.removeprefix("brainflix:")
        if not folder.is_dir():
            shipped = ", ".join(f"brainflix:{p.relative_to(SHIPPED)}" for p in sorted(SHIPPED.glob("tiny/*")))
            raise InputError.about(
                name, expected=f"a model that ships with brainflix ({shipped})", found="no such folder"
            )
        return str(folder)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if _HUB_ID.fullmatch(name):
        return name
    expected = "a model's folder (diffusers or transformers layout), brainflix:<folder> or owner/name on the hub"
    raise InputError.about(name, expected=expected, found="no such folder")


def clip_seeds(seed: int, stimuli: Sequence[str]) -> list[int]:
    """A seed for each clip that depends on its name only, never on its neighbours in a batch.

    >>> clip_seeds(0, ["a", "b"])[1] == clip_seeds(0, ["b"])[0]
    True
    """
    digests = (hashlib.blake2b(f"{seed}:{s}".encode(), digest_size=7) for s in stimuli)
    return [int.from_bytes(d.digest(), "big") for d in digests]


def generator(name: str, *, precision: Precision) -> VideoGenerator:
    """Load a text-to-video model in the layout of Zeroscope."""
    from brainflix.frozen.generators import LatentDiffusion

    return LatentDiffusion(resolve(name), precision=precision)


def captioner(name: str, *, precision: Precision) -> Captioner:
    """Load a captioner: BLIP, or EILEV (BLIP-2); its config.json says which.

    Raises:
        InputError: there is no such checkpoint, or it is of another kind.
    """
    from brainflix.frozen.loading import model_type

    root = resolve(name)
    kind = model_type(root)
    if kind not in CAPTIONERS:
        expected = f"a captioner ({' or '.join(CAPTIONERS)})"
        raise InputError.about(name, expected=expected, found=f"model type {kind}")
    return CAPTIONERS[kind](root, precision)


def _blip(root: str, precision: Precision) -> Captioner:
    from brainflix.frozen.captioners import Blip

    return Blip(root, precision=precision)


def _eilev(root: str, precision: Precision) -> Captioner:
    from brainflix.frozen.eilev import Eilev

    return Eilev(root, precision=precision)


CAPTIONERS: dict[str, Callable[[str, Precision], Captioner]] = {"blip": _blip, "blip-2": _eilev}


def text_encoder(name: str, *, precision: Precision) -> TextEncoder:
    """Load the text tower of a CLIP checkpoint."""
    from brainflix.frozen.text import ClipText

    return ClipText(resolve(name), precision=precision)


def image_encoder(name: str, *, precision: Precision) -> ImageEncoder:
    """Load the vision tower of a CLIP checkpoint."""
    from brainflix.frozen.images import ClipImages

    return ClipImages(resolve(name), precision=precision)


def classifier(name: str, *, precision: Precision) -> Classifier:
    """Load an image classifier: a name in :data:`CLASSIFIERS`, or a transformers ViT."""
    if name in CLASSIFIERS:
        return CLASSIFIERS[name](precision)
    from brainflix.frozen.classifiers import VisionTransformer

    return VisionTransformer(resolve(name), precision=precision)


def _efficientnet_lite0(precision: Precision) -> Classifier:
    from brainflix.frozen.classifiers import EfficientNetLite0

    return EfficientNetLite0(precision=precision)


CLASSIFIERS: dict[str, Callable[[Precision], Classifier]] = {"efficientnet-lite0": _efficientnet_lite0}
