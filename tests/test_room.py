"""Too little memory: what would fit is found by trying, and said in one sentence."""

import pytest
import torch

from brainflix import room
from brainflix.errors import InputError
from tests.test_training import ROWS, Problem, run, weights, with_


def out_of_memory_above(rows):
    def attempt(given):
        if given > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    return attempt


@pytest.mark.parametrize(
    "fits, batch, processes, expected",
    [
        (80, 300, 1, "accumulate: 4 would, with 75 rows at a time"),
        (1, 300, 1, "accumulate: 300 would, with 1 rows at a time"),
        (10, 300, 8, "accumulate: 4 would, with 10 rows at a time"),
        (0, 300, 1, "not even a row at a time would; it takes a smaller model or a larger memory"),
    ],
)
def test_the_fewest_parts_that_fit_are_named(fits, batch, processes, expected):
    attempt = out_of_memory_above(fits)
    device = torch.device("cpu")
    assert room.advice(attempt, batch=batch, parts=1, processes=processes, device=device) == expected


def test_a_step_that_does_not_fit_says_what_would(tmp_path):
    problem = Problem()
    loss, before = problem.loss, weights(problem)

    def limited(rows, generator):
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(rows, generator)

    problem.loss = limited
    expected = (
        "test: a batch of 8 with accumulate: 2 does not fit the memory; accumulate: 4 would, with 2 rows at a time"
    )
    with pytest.raises(InputError, match=expected):
        run(problem, tmp_path, with_(accumulate=2))
    assert torch.equal(weights(problem), before)
    problem.seen.clear()
    run(problem, tmp_path, with_(accumulate=4))  # and it does
    assert len(problem.seen) == 4 * 4 * (ROWS // 8)
