"""Loading checkpoints: one sentence when it fails, silence when it works, and the device they live on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brainflix.errors import InputError
from brainflix.frozen.protocols import Precision

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
# What they say while a checkpoint loads as intended: .bin files, unused towers, a missing torchvision.
_CHATTY = (
    "diffusers.models.modeling_utils",
    "diffusers.models.model_loading_utils",
    "diffusers.configuration_utils",
    "transformers.modeling_utils",
    "transformers.utils.loading_report",
    "transformers.distributed.tensor_parallel",  # warns without any parallelism asked for
)


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype(precision: Precision) -> torch.dtype:
    """The torch type of a precision.

    Raises:
        InputError: half precision without a GPU.
    """
    if precision != "float32" and device().type == "cpu":
        raise InputError.about("precision", expected="float32 where there is no GPU", found=precision)
    return getattr(torch, precision)


def pretrained(cls: Any, root: str, *, precision: Precision, subfolder: str = "") -> nn.Module:
    """``cls.from_pretrained`` in evaluation mode, on :func:`device`, without gradients.

    Raises:
        InputError: there is no such checkpoint, it is damaged or of another kind, or weights are missing
            (both libraries would put random ones in their place).
    """
    library = cls.__module__.partition(".")[0]
    name = "torch_dtype" if library == "diffusers" else "dtype"
    with explained(cls, root, subfolder), quiet():
        model, report = cls.from_pretrained(
            root, subfolder=subfolder, output_loading_info=True, **{name: dtype(precision)}
        )
    missing = sorted(report["missing_keys"])
    if missing:
        where = f"{root}/{subfolder}" if subfolder else root
        found = f"none for {len(missing)}, first {missing[0]}"
        raise InputError.about(where, expected=f"all weights of {cls.__name__}", found=found)
    return model.to(device()).eval().requires_grad_(False)


def model_type(root: str) -> str:
    """What kind of transformers model a checkpoint is, by its config.json, e.g. ``blip``.

    Raises:
        InputError: there is no such checkpoint.
    """
    from transformers.configuration_utils import PreTrainedConfig

    with explained(PreTrainedConfig, root):
        return str(PreTrainedConfig.get_config_dict(root)[0].get("model_type"))


def scaled_pixels(images: np.ndarray, pixel_scale: str, *, dtype: torch.dtype) -> Tensor:
    """(image, 3, row, column) on :func:`device` of uint8 (image, row, column, 3).

    Args:
        pixel_scale: ``unit``: [0, 1]; ``clip``: that minus CLIP's mean, by its standard deviation.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(device(), dtype) / 255
    if pixel_scale == "unit":
        return pixels
    mean, deviation = (torch.tensor(v).view(3, 1, 1).to(pixels) for v in (_CLIP_MEAN, _CLIP_DEVIATION))
    return (pixels - mean) / deviation


@contextmanager
def explained(cls: Any, root: str, subfolder: str = "") -> Iterator[None]:
    """Turn what ``from_pretrained`` raises for a bad checkpoint into an InputError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        where = f"{root}/{subfolder}" if subfolder else root
        reason = " ".join(str(error).split())[:300]
        raise InputError.about(where, expected=f"a checkpoint of {cls.__name__}", found=reason) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars and the notes of loggers that speak when nothing is wrong."""
    from transformers.utils import logging as bars

    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    shown = bars.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            bars.enable_progress_bar()
