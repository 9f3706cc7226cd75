"""Event tables: any column order, any extra columns, no guessing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainflix.datasets.events import read_events
from brainflix.errors import InputError

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters='"\t'), min_size=1)
ROWS = st.lists(
    st.tuples(st.floats(0, 1e4), st.integers(1, 180), TEXT.filter(lambda s: s == s.strip() and s)), min_size=1
)


@given(rows=ROWS, order=st.permutations(["onset", "trial_type", "stim_file", "response", "duration"]))
def test_what_was_written_is_read_whatever_the_order_of_columns(tmp_path_factory, rows, order):
    rows = sorted(rows, key=lambda row: row[0])
    table = pd.DataFrame(rows, columns=["onset", "trial_type", "stim_file"]).assign(response="n/a", duration=2)
    path = tmp_path_factory.mktemp("events") / "events.tsv"
    table[order].to_csv(path, sep="\t", index=False)
    events = read_events(path, columns=["trial_type", "stim_file"])
    assert events["onset"].tolist() == [row[0] for row in rows]
    assert events["trial_type"].tolist() == [str(row[1]) for row in rows]
    assert events["stim_file"].tolist() == [row[2] for row in rows]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "expected events"),
        (b"onset\tstim_file\n0\ta.mp4\n", "found no trial_type"),
        (b"onset\ttrial_type\tstim_file\n1\t1\ta\n0\t1\tb\n", "an onset before the one above it"),
        (b"onset\ttrial_type\tstim_file\nsoon\t1\ta\n", "an onset that is no number"),
        (b"onset\ttrial_type\tstim_file\n0\t1\t\xff\xfe\n", "expected events"),
    ],
)
def test_bad_events_are_refused_by_name(tmp_path, text, complaint):
    path = tmp_path / "bad_events.tsv"
    path.write_bytes(text)
    with pytest.raises(InputError, match=rf"bad_events\.tsv: .*{complaint}"):
        read_events(path, columns=["trial_type", "stim_file"])


@pytest.mark.parametrize("onset", [-0.5, 300.0, 312.0])
def test_an_event_outside_the_run_is_refused_by_name(tmp_path, onset):
    path = tmp_path / "long_events.tsv"
    lines = [f"{value}\ta.mp4\n" for value in sorted([0.0, 299.9, onset])]
    path.write_text("onset\tstim_file\n" + "".join(lines))
    expected = rf"long_events\.tsv: expected onsets from 0 s to the end of the run at 300 s, found {onset:g} s"
    with pytest.raises(InputError, match=expected):
        read_events(path, columns=["stim_file"], run_seconds=300.0)


def test_onsets_are_seconds_and_the_rest_stays_text(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_text("stim_file\tonset\nn/a\t0.5\n007\t4.002\n")
    events = read_events(path, columns=["stim_file"])
    assert events["onset"].dtype == np.float64
    assert events["stim_file"].tolist() == ["n/a", "007"]
