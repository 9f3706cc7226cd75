"""Single trials of a real recording: ``nitime``'s event-related BOLD, 3,360 samples, 6 conditions of 96 trials.

The truth is a response estimated without any assumed shape: one free value per lag (FIR).
"""

import platform
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainflix.models import glm
from brainflix.models.glm import Run
from tests.models.test_glm import SETTINGS
from tests.real.downloads import fetch

SHA256 = "19442111829b94fa9aa9849bdfb6aa92bc5467ba74194b18450728e432086882"
DATA = "nitime/data/event_related_fmri.csv"
SECONDS, PART, LAGS, CONDITIONS = 2.0, 240, 15, 6  # 14 parts of 8 minutes stand for runs
NOTHING = np.zeros(0)

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="the wheel that was checked is Linux's"
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """(BOLD (3360,), condition that begins at each sample, 0 is none)."""
    wheel = fetch("nitime==0.12.1", tmp_path_factory.mktemp("nitime"), sha256=SHA256)
    with zipfile.ZipFile(wheel) as archive, archive.open(DATA) as file:
        table = pd.read_csv(file)
    return table["bold"].to_numpy(), table["events"].to_numpy().astype(int)


def runs_of(bold, events):
    runs, series = [], []
    for start in range(0, len(bold), PART):
        part = events[start : start + PART]
        onsets = np.flatnonzero(part[:-3])  # a trial in the last 6 s is hardly seen
        runs.append(
            Run(
                times=SECONDS * np.arange(PART),
                names=[str(part[i]) for i in onsets],
                onsets=SECONDS * onsets,
                durations=np.full(len(onsets), 1.0),
                other_onsets=NOTHING,
                other_durations=NOTHING,
                confounds=np.empty((PART, 0)),
                high_pass=0.01,
                kept=np.arange(PART),
            )
        )
        series.append(bold[start : start + PART, None])
    return runs, series


def impulse_responses(bold, events):
    """One free value per condition and lag: (6, 15)."""
    design = np.zeros((len(bold), CONDITIONS * LAGS))
    for condition in range(CONDITIONS):
        for lag in range(LAGS):
            begins = np.flatnonzero(events == condition + 1) + lag
            design[begins[begins < len(bold)], condition * LAGS + lag] = 1
    slow = np.cos(np.pi * np.outer(np.arange(PART) + 0.5, np.arange(10)) / PART)
    drifts = np.kron(np.eye(len(bold) // PART), slow)
    return np.linalg.lstsq(np.hstack([design, drifts]), bold, rcond=None)[0][: CONDITIONS * LAGS].reshape(6, LAGS)


def means(runs, series, hrfs, chosen, estimator):
    """Mean beta of each condition, and its standard error."""
    settings = replace(SETTINGS, estimator=estimator, ridge_penalty=0.1)
    betas = [glm.single_trials(r, s, hrfs, chosen, settings=settings)[:, 0] for r, s in zip(runs, series, strict=True)]
    table = pd.DataFrame({"name": [n for r in runs for n in r.names], "beta": np.concatenate(betas)})
    groups = table.groupby("name")["beta"]
    return groups.mean().to_numpy(), (groups.std() / np.sqrt(groups.size())).to_numpy()


@pytest.mark.slow
def test_the_chosen_response_has_the_shape_of_the_free_one(recording):
    free, (runs, series), hrfs = impulse_responses(*recording).mean(axis=0), runs_of(*recording), glm.library()
    chosen = list(hrfs)[glm.choose(runs, series, hrfs)[0]]
    one = replace(runs[0], names=["a"], onsets=np.zeros(1), durations=np.ones(1))
    shape = {name: glm.trials(one, hrf)[:LAGS, 0] for name, hrf in hrfs.items()}
    fit = {name: np.corrcoef(values, free)[0, 1] for name, values in shape.items()}
    assert SECONDS * free.argmax() == 6.0
    assert 5.0 <= SECONDS * shape[chosen].argmax() <= 8.0
    assert fit[chosen] > 0.8 and fit[chosen] > np.median(list(fit.values()))


@pytest.mark.parametrize("estimator", ["lss", "ridge"])
def test_conditions_respond_as_strongly_as_they_do_freely(recording, estimator):
    free = impulse_responses(*recording)[:, 2:5].mean(axis=1)  # 4 to 8 s
    runs, series = runs_of(*recording)
    found, error = means(runs, series, glm.canonical(), np.zeros(1, int), estimator)
    assert (found > 2 * error).all()
    assert np.corrcoef(found, free)[0, 1] > 0.9


def test_trials_at_the_wrong_times_respond_to_nothing(recording):
    bold, events = recording
    runs, series = runs_of(bold, np.random.default_rng(0).permutation(events))
    found, error = means(runs, series, glm.canonical(), np.zeros(1, int), "ridge")
    assert abs(found.mean()) < 3 * np.linalg.norm(error) / CONDITIONS
