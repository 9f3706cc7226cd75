"""The processes that train one model together: whose rows are whose, and what they tell each other.

N processes, started by ``torchrun`` or ``accelerate launch``, do what one does. Each takes its share of the rows of
the same batch, and a loss is the loss of the whole batch in all of them: what it is made from is gathered first
(:func:`gather`), and random numbers are drawn for the whole batch before each takes its own (:func:`rand`). Gradients
are then averaged by DistributedDataParallel, which with equal losses is the gradient of a single process.
In a process that was started alone all of this is nothing.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from brainflix.errors import InputError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor, nn


@dataclass(frozen=True)
class Share:
    """How rows are shared out.

    Attributes:
        sizes: rows of each process, in order; they differ by one at most.
        process: number of this process.
    """

    sizes: tuple[int, ...]
    process: int

    @property
    def own(self) -> slice:
        """This process's rows."""
        start = sum(self.sizes[: self.process])
        return slice(start, start + self.sizes[self.process])


_current: Share | None = None  # of the rows that a loss is being made from; None outside of one, and alone


@cache
def _accelerator() -> Accelerator | None:
    """The library's view of who else there is; None in a process that was started alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs

    # Buffers need no broadcast: all processes compute the same ones.
    how = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    found = Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available(), kwargs_handlers=[how])
    atexit.register(torch.distributed.destroy_process_group)
    return found


@cache
def _group(backend: str | None) -> Any:
    """Processes and a channel of their own, so that what is gathered never mixes with averaged gradients."""
    import torch

    return torch.distributed.new_group(backend=backend)


def device() -> torch.device:
    """Where this process computes: its own GPU if there are any."""
    import torch

    if (together := _accelerator()) is not None:
        return together.device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def is_main() -> bool:
    """Whether this is the process that writes and talks."""
    return (together := _accelerator()) is None or together.is_main_process


def share(rows: int) -> Share:
    """How ``rows`` rows are shared out.

    Raises:
        InputError: there are more processes than rows.
    """
    together = _accelerator()
    processes, process = (1, 0) if together is None else (together.num_processes, together.process_index)
    if rows < processes:
        raise InputError(
            f"training: expected at least one row for each of {processes} processes in every part of a batch, found "
            f"parts of {rows} rows; start fewer processes, or lower accumulate"
        )
    edges = [rows * number // processes for number in range(processes + 1)]
    return Share(tuple(b - a for a, b in pairwise(edges)), process)


@contextmanager
def sharing(shared: Share) -> Iterator[None]:
    """Within the block tensors with a row per response hold this process's rows of ``shared``."""
    global _current
    before, _current = _current, (shared if len(shared.sizes) > 1 else None)
    try:
        yield
    finally:
        _current = before


def rand(rows: int, *shape: int, generator: torch.Generator, dtype: torch.dtype | None = None) -> Tensor:
    """Uniform numbers (rows, *shape) on the CPU, the same for a row whatever the number of processes."""
    import torch

    if _current is None:
        return torch.rand(rows, *shape, generator=generator, dtype=dtype)
    return torch.rand(sum(_current.sizes), *shape, generator=generator, dtype=dtype)[_current.own]


def gather(own: Tensor) -> Tensor:
    """A tensor with a row per response (own rows, ...) for the rows of all processes; gradients flow back to theirs."""
    if _current is None:
        return own
    if not own.is_floating_point():
        return _gather_function()(own, _current)
    return _gather_function()(own.float(), _current).to(own.dtype)


def take_own(whole: Tensor) -> Tensor:
    """What :func:`gather` was given, of something with the rows of all processes."""
    return whole if _current is None else whole[_current.own]


@cache
def _gather_function() -> Any:
    import torch
    from torch import distributed

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, own: Tensor, shared: Share) -> Tensor:
            context.shared = shared
            padded = own.new_zeros(max(shared.sizes), *own.shape[1:])  # all_gather wants equal shapes
            padded[: len(own)] = own
            parts = [torch.empty_like(padded) for _ in shared.sizes]
            distributed.all_gather(parts, padded, group=_group(None))
            return torch.cat([part[:size] for part, size in zip(parts, shared.sizes, strict=True)])

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
            # Every process's loss depends on every row, and their gradients are averaged later.
            whole = gradient.clone(memory_format=torch.contiguous_format)
            distributed.all_reduce(whole, group=_group(None))
            return whole[context.shared.own], None

    return torch.compiler.disable(Gather.apply)


def agree(wish: int) -> int:
    """The largest wish of all processes."""
    if _accelerator() is None:
        return wish
    import torch

    wishes = torch.tensor([wish])
    # Over the CPU's own channel: asking a GPU would make it wait for its work to be done.
    torch.distributed.all_reduce(wishes, op=torch.distributed.ReduceOp.MAX, group=_group("gloo"))
    return int(wishes)


def together(model: nn.Module, loss: Callable[..., Tensor]) -> tuple[Callable[..., Tensor], Callable[[], Any]]:
    """The loss that averages gradients over processes, and a context in which it does not yet.

    Args:
        model: whose parameters have a part in ``loss``; every one in every loss.
    """
    processes = _accelerator()
    if processes is None:
        return loss, nullcontext
    _see_all_rows(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the library's own argument has a new name since
        objective = processes.prepare_model(_objective(model, loss))

    def later() -> AbstractContextManager[Any]:
        return processes.no_sync(objective)

    return objective, later


def _see_all_rows(model: nn.Module) -> None:
    """Layers that look across rows, or draw random numbers, work on the rows of all processes."""
    from torch.nn.modules.batchnorm import _BatchNorm
    from torch.nn.modules.dropout import _DropoutNd

    for layer in model.modules():
        if isinstance(layer, (_BatchNorm, _DropoutNd)):
            layer.register_forward_pre_hook(lambda layer, inputs: gather(inputs[0]))
            layer.register_forward_hook(lambda layer, inputs, output: take_own(output))


def _objective(model: nn.Module, loss: Callable[..., Tensor]) -> nn.Module:
    """A module whose forward is the loss: gradients are averaged for what goes through a module's forward."""
    from torch import nn

    class Objective(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *arguments: Any) -> Tensor:
            return loss(*arguments)

    return Objective()
