"""Checkpoints of MinD-Vis and BrainNetflixMBM in our names.

Both save what ``MAEforFMRI.state_dict()`` holds and, beside it, the settings it was made with. Their blocks are
timm's, with torch's plain LayerNorm (epsilon 1e-5) and exact GELU, as are ours, so weights only change names:

    cls_token                      (1, 1, width)              pos_embed          (1, 1 + patches, width)
    patch_embed.proj               Conv1d (width, 1, patch)   decoder_pos_embed  (1, 1 + patches, decoder width)
    blocks.N                       norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2
    norm, decoder_embed, mask_token, decoder_blocks.N, decoder_norm, decoder_pred

Their data are filled to a multiple of the patch by starting over with the first vertices, by a whole patch where
nothing is lacking; how many patches there are, the table of positions says. An imported model keeps that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from brainflix.errors import InputError
from brainflix.models.mbm import MaskedBrainModel, sincos_positions
from brainflix.models.settings import MbmSettings
from brainflix.settings import build

_MODULES = {  # ours: theirs
    "encoder.class_token": "cls_token",
    "encoder.embed": "patch_embed.proj",
    "encoder.blocks": "blocks",
    "encoder.norm": "norm",
    "decoder.embed": "decoder_embed",
    "decoder.mask_token": "mask_token",
    "decoder.blocks": "decoder_blocks",
    "decoder.norm": "decoder_norm",
    "decoder.head": "decoder_pred",
}
_PARTS = {
    "attention_norm": "norm1",
    "qkv": "attn.qkv",
    "attention_out": "attn.proj",
    "mlp_norm": "norm2",
    "mlp_in": "mlp.fc1",
    "mlp_out": "mlp.fc2",
}
_POSITIONS = {"pos_embed": "width", "decoder_pos_embed": "decoder_width"}
_OTHER_HEAD = "nature_img_"  # predicts features of a picture; off unless asked for, and no part of the encoder
_ROUNDING = 1e-4  # of a table of positions, whose entries are sines and cosines


def translate(
    state: Mapping[str, Tensor], config: Mapping[str, Any], *, vertices: int, pool: str, where: object
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in our names, float32, and what a header says of them.

    Args:
        state: tensors in their names; without ``decoder_*`` only the encoder is translated.
        config: their settings.
        vertices: of a response.
        pool: see :class:`MbmSettings`; theirs do not say.
        where: what to call the checkpoint in an error.

    Returns:
        arrays ``encoder.*`` and, where there are any, ``decoder.*``; ``model``, ``vertices`` and ``wrapped_patches``.

    Raises:
        InputError: a setting or an array is missing, unknown, of another shape or not finite; positions are not
            the fixed ones; or there are patches for another number of vertices.
    """
    settings = _settings(state, config, pool, where)
    patches = _patches(state, settings, vertices, where)
    with torch.device("meta"):
        wanted = MaskedBrainModel(settings, vertices=vertices, wrapped_patches=patches).state_dict()
    has_decoder = any(name.startswith("decoder_") for name in state)
    wanted = {name: array for name, array in wanted.items() if has_decoder or name.startswith("encoder.")}
    _refuse_other_names(state, {*map(their_name, wanted)}, has_decoder, where)
    tensors = {name: _array(state, their_name(name), array.shape, where) for name, array in wanted.items()}
    return tensors, {"model": asdict(settings), "vertices": vertices, "wrapped_patches": patches}


def their_name(name: str) -> str:
    """Their name of one of our arrays.

    >>> their_name("decoder.blocks.3.attention_out.bias")
    'decoder_blocks.3.attn.proj.bias'
    """
    stack, module, *rest = name.split(".")
    theirs = _MODULES[f"{stack}.{module}"]
    if module == "blocks":
        number, part, *rest = rest
        theirs = f"{theirs}.{number}.{_PARTS[part]}"
    return ".".join([theirs, *rest])


def _settings(state: Mapping[str, Tensor], config: Mapping[str, Any], pool: str, where: object) -> MbmSettings:
    theirs = {
        "patch": "patch_size",
        "width": "embed_dim",
        "depth": "depth",
        "heads": "num_heads",
        "mlp_ratio": "mlp_ratio",
        "decoder_width": "decoder_embed_dim",
        "decoder_heads": "decoder_num_heads",
        "mask_ratio": "mask_ratio",
    }
    if missing := [name for name in theirs.values() if name not in config]:
        expected = f"settings {', '.join(theirs.values())}"
        raise InputError.about(where, expected=expected, found=f"no {', '.join(missing)}")
    # They have no setting for it.
    decoder_depth = len({name.split(".")[1] for name in state if name.startswith("decoder_blocks.")})
    values = {ours: config[name] for ours, name in theirs.items()} | {"decoder_depth": decoder_depth, "pool": pool}
    try:
        return build(MbmSettings, values, where="config")
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _patches(state: Mapping[str, Tensor], settings: MbmSettings, vertices: int, where: object) -> int:
    """How many patches there are positions for, once they are known to be the fixed ones."""
    found = _named(state, "pos_embed", where).shape[1] - 1
    fitting = sorted({-(-vertices // settings.patch), vertices // settings.patch + 1})
    if found not in fitting:
        counts = " or ".join(map(str, fitting))
        expected = f"positions of {counts} patches of {settings.patch}, for {vertices:,} vertices"
        raise InputError.about(where, expected=expected, found=f"{found} ({found * settings.patch:,} values)")
    for name, width in _POSITIONS.items():
        if name == "pos_embed" or name in state:
            fixed = sincos_positions(found, getattr(settings, width))[None]
            if (_array(state, name, fixed.shape, where) - fixed).abs().max() > _ROUNDING:
                raise InputError.about(where, expected=f"the sines and cosines in {name}", found="other positions")
    return found


def _refuse_other_names(state: Mapping[str, Tensor], known: set[str], has_decoder: bool, where: object) -> None:
    known = known | set(_POSITIONS) | (set() if has_decoder else {"mask_token"})
    others = sorted(name for name in state if name not in known and not name.startswith(_OTHER_HEAD))
    if others:
        few = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise InputError.about(where, expected="weights of MinD-Vis's masked autoencoder", found=f"also {few}")


def _array(state: Mapping[str, Tensor], name: str, shape: torch.Size, where: object) -> Tensor:
    """An array of theirs in our shape: they write patches as a convolution over one channel."""
    array = _named(state, name, where)
    wanted = (shape[0], 1, shape[1]) if name == "patch_embed.proj.weight" else tuple(shape)
    if tuple(array.shape) != wanted:
        raise InputError.about(where, expected=f"{name} of shape {wanted}", found=str(tuple(array.shape)))
    array = array.detach().float().reshape(shape).contiguous()
    if not array.isfinite().all():
        raise InputError.about(where, expected=f"finite values in {name}", found="NaN or infinity")
    return array


def _named(state: Mapping[str, Tensor], name: str, where: object) -> Tensor:
    array = state.get(name)
    if not isinstance(array, Tensor):
        raise InputError.about(where, expected=f"an array {name}", found="none")
    return array
