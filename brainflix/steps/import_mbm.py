"""An encoder that others published, as one of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from brainflix import artifacts, atlas
from brainflix.errors import InputError


def import_mbm(checkpoint: Path, /, *, out: Path, pool: Literal["patches", "class"], space: str = "glasser41") -> None:
    """Turn a checkpoint of MinD-Vis or BrainNetflixMBM into an encoder, with its decoder where it has one.

    Of the same response and mask it makes what it made there; it keeps their padding. Whose responses it has seen is
    for its makers to say: nothing here knows.

    Parameters
    ----------
    checkpoint: what their ``save_model`` wrote (.pth); nothing that may be inside is run.
    out: the weights (safetensors): ``encoder.*`` and ``decoder.*``.
    pool: what stands for a response: the mean over its patches' tokens, or the class token.
    space: list of areas whose vertices it takes, one of brainflix.atlas.SPACES.
    """
    from brainflix.frozen import torchfiles
    from brainflix.models.mindvis import translate

    vertices = len(atlas.vertices(space))
    content = _parts(torchfiles.read(checkpoint), checkpoint)
    tensors, header = translate(
        content["model"], content["config"].attributes, vertices=vertices, pool=pool, where=checkpoint
    )
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    stage = {"step": "import_mbm", "file": checkpoint.name, "sha256": digest}
    about = {"kind": "encoder", "simulated": False, "space": space, "stages": [stage]}
    artifacts.save_weights(out, tensors, {**about, **header})


def _parts(content: Any, path: Path) -> Mapping[str, Any]:
    """What is in a checkpoint, once weights and settings are known to be."""
    from brainflix.frozen.torchfiles import Bag

    for name, kind in (("model", Mapping), ("config", Bag)):
        if not isinstance(content, Mapping) or not isinstance(content.get(name), kind):
            expected = "a checkpoint of MinD-Vis, with weights (model) and settings (config)"
            raise InputError.about(path, expected=expected, found=f"none under {name}")
    return content
