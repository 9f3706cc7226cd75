"""What the datasets share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainflix.datasets.base import bids_label, splits, stimuli_table
from brainflix.errors import InputError


@given(number=st.integers(1, 99), prefix=st.sampled_from(["", "sub-", "sub"]), padding=st.sampled_from(["", "02"]))
def test_a_subject_is_its_number_however_it_is_spelt(number, prefix, padding):
    assert bids_label(f"{prefix}{number:{padding}}", dataset="bmd") == f"{number:02d}"


@given(text=st.text())
def test_any_other_subject_is_refused(text):
    try:
        label = bids_label(text, dataset="bmd")
    except InputError as error:
        assert str(error).startswith("subjects of dataset bmd: expected numbers such as 01")
    else:
        assert len(label) == 2 and int(label) == int(text.removeprefix("sub").removeprefix("-"))


def test_a_stimulus_listed_twice_is_refused_by_name():
    table = stimuli_table([("a", "train", "a.mp4", None, None), ("a", "test", "a.mp4", None, None)])
    with pytest.raises(InputError, match="stimuli table: expected every stimulus once, found a twice"):
        splits(table)
