"""Clips that share time, against every pair looked at one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from brainflix.datasets.overlap import shares_time

CLIPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 8), st.integers(1, 4), st.booleans(), st.booleans()), max_size=12
)


@given(clips=CLIPS)
def test_it_finds_what_looking_at_every_pair_finds(clips):
    source = [clip[0] for clip in clips]
    start = [np.nan if whole else begin for _, begin, _, _, whole in clips]
    stop = [np.nan if whole else begin + length for _, begin, length, _, whole in clips]
    is_test = [clip[3] for clip in clips]

    def moments(i):
        return set(range(100)) if np.isnan(start[i]) else set(range(int(start[i]), int(stop[i])))

    expected = [
        not is_test[i]
        and any(is_test[j] and source[i] == source[j] and moments(i) & moments(j) for j in range(len(clips)))
        for i in range(len(clips))
    ]
    assert shares_time(source, start, stop, is_test).tolist() == expected


def test_clips_that_touch_share_nothing():
    assert shares_time(["a", "a", "a"], [0, 2, 3.9], [2, 4, 6], [False, True, False]).tolist() == [False, False, True]
