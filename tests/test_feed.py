"""The order of rows by blocks, hints of what comes, and reading ahead."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainflix.errors import InputError
from brainflix.feed import AHEAD, Plan, epoch_order, feeding, windows
from brainflix.models.settings import BlockSettings


@given(rows=st.integers(1, 400), block=st.integers(1, 30), window=st.integers(1, 12), epoch=st.integers(0, 3))
def test_every_order_visits_every_row_once_and_windows_hold_whole_blocks(rows, block, window, epoch):
    blocks = BlockSettings(rows=block, window=window)
    order = epoch_order(rows, 7, epoch, blocks)
    assert sorted(order) == list(range(rows))
    if rows > blocks.window_rows:
        # A block lies in one window; the short last block of the data may shift the windows behind it.
        for part in windows(order, blocks):
            assert len(np.unique(part // block)) <= window + 1


def test_data_that_fit_a_window_are_shuffled_as_without_blocks():
    free = epoch_order(100, 1, 2)
    np.testing.assert_array_equal(epoch_order(100, 1, 2, BlockSettings(rows=10, window=10)), free)
    np.testing.assert_array_equal(free, np.random.default_rng([1, 2]).permutation(100))


def test_orders_differ_between_epochs_and_seeds_and_repeat_for_the_same():
    blocks = BlockSettings(rows=4, window=5)
    orders = [epoch_order(200, seed, epoch, blocks) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    np.testing.assert_array_equal(orders[0], orders[3])
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[0], orders[2])


def test_blocks_of_a_window_are_mixed_row_by_row():
    order = epoch_order(6400, 0, 0, BlockSettings(rows=64, window=20))
    batch = order[:64]
    assert len(np.unique(batch // 64)) > 15  # nearly all blocks of the window, not one after the other
    assert len(np.unique(order[:1280] // 64)) == 20


def test_a_plan_continues_in_the_middle_of_an_epoch():
    plan = Plan(50, 8, 3, None)
    whole = list(plan.batches(0, 18))
    assert len(whole) == 18
    for start in (1, 6, 11):
        for a, b in zip(plan.batches(start, 18), whole[start:], strict=True):
            np.testing.assert_array_equal(a, b)


class Noted:
    """Hints, and what was held of the rows when each batch was taken."""

    def __init__(self):
        self.expected, self.most = set(), 0

    def expect(self, rows):
        assert not self.expected & set(rows.tolist())
        self.expected |= set(rows.tolist())
        self.most = max(self.most, len(self.expected))

    def forget(self, rows):
        self.expected -= set(rows.tolist())


def test_hints_come_before_the_rows_and_hold_two_windows_at_most():
    hints, blocks = Noted(), BlockSettings(rows=5, window=4)
    plan = Plan(100, 7, 0, blocks, hints)
    for batch in plan.batches(0, plan.steps_per_epoch):
        assert set(batch[:1].tolist()) <= hints.expected
    assert hints.most == 2 * blocks.window_rows


def test_data_in_one_window_need_no_hints():
    class Deaf:
        def expect(self, rows):
            raise AssertionError

    plan = Plan(100, 7, 0, BlockSettings(rows=5, window=20), Deaf())
    assert len(list(plan.batches(0, 5))) == 5


def test_answers_come_in_order_and_are_ready_before_they_are_asked_for():
    asked = []

    def fetch(rows):
        asked.append(int(rows[0]))
        return rows * 2

    with feeding(iter([np.array([i]) for i in range(5)]), fetch, pin=False) as feed:
        assert [int(feed.next()[0]) for _ in range(2)] == [0, 2]
        deadline = time.monotonic() + 5
        while len(asked) < 2 + AHEAD and time.monotonic() < deadline:
            time.sleep(0.001)
        assert asked == list(range(2 + AHEAD))  # so far ahead, and no further
        assert [int(feed.next()[0]) for _ in range(3)] == [4, 6, 8]


def test_what_goes_wrong_in_reading_is_raised_where_it_is_used():
    def fetch(rows):
        if rows[0] == 1:
            raise InputError("row 1 is bad")
        return rows

    with feeding(iter([np.array([i]) for i in range(3)]), fetch, pin=False) as feed:
        feed.next()
        with pytest.raises(InputError, match="row 1 is bad"):
            feed.next()


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    with pytest.raises(KeyError), feeding(iter([np.array([0])] * 9), lambda rows: rows, pin=False) as feed:
        feed.next()
        raise KeyError
    assert threading.active_count() == before


def test_waiting_is_measured():
    def slow(rows):
        time.sleep(0.05)
        return rows

    with feeding(iter([np.array([0])] * 4), slow, pin=False) as feed:
        for _ in range(4):
            feed.next()
    assert 0.1 < feed.waited < 2


@pytest.mark.parametrize("rows, window", [(0, 4), (4, 0)])
def test_blocks_of_nothing_are_refused(rows, window):
    with pytest.raises(InputError, match="must be at least 1"):
        BlockSettings(rows=rows, window=window)
