"""What to do when a batch does not fit the memory: say in how many parts it would."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

GIB = 2**30


def advice(attempt: Callable[[int], None], *, batch: int, parts: int, processes: int, device: torch.device) -> str:
    """Which ``accumulate`` would fit, found by trying.

    Args:
        attempt: does the memory's worth of one step on so many rows, or runs out of memory.
        batch, parts: what did not fit: rows of a step, and the parts they are computed in.
        processes: that share the rows of a part.

    Returns:
        the end of a sentence.
    """
    for more in range(parts + 1, batch // processes + 1):
        if batch % more:
            continue
        rows = -(-batch // (more * processes))
        if (taken := _measure(attempt, rows, device)) is not None:
            size = f", taking {taken / GIB:.1f} GiB" if taken else ""
            return f"accumulate: {more} would, with {rows} rows at a time{size}"
    return "not even a row at a time would; it takes a smaller model or a larger memory"


def _measure(attempt: Callable[[int], None], rows: int, device: torch.device) -> int | None:
    """Bytes that an attempt takes at most (0 where nobody counts them), None if it runs out."""
    gc.collect()
    counted = device.type == "cuda"
    if counted:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        attempt(rows)
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_allocated(device) if counted else 0


def described(device: torch.device) -> str:
    """The memory in words."""
    if device.type != "cuda":
        return "the memory"
    free, total = torch.cuda.mem_get_info(device)
    name = torch.cuda.get_device_name(device)
    return f"the memory of {name} ({total / GIB:.1f} GiB, {free / GIB:.1f} of them free)"
