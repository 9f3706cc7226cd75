"""HCP resting state: cleaned series under the names of S1200 and of the 2025 release, turn by turn."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from brainflix import artifacts
from brainflix.artifacts import replacing
from brainflix.phantom.cifti import write_series
from brainflix.phantom.signals import noise
from brainflix.phantom.study import BASELINE, LABEL, PER_UNIT, Study, write_text

LIMITS = {"runs": 4, "volumes": 1200}
RUNS = ("rfMRI_REST1_LR", "rfMRI_REST1_RL", "rfMRI_REST2_LR", "rfMRI_REST2_RL")
ENDINGS = ("_Atlas_MSMAll_hp2000_clean", "_Atlas_MSMAll_hp2000_clean_rclean_tclean")
REPETITION_TIME = 0.72
QUIRKS = {
    "no-msmall": "the first subject's series are named as those without multimodal surface matching",
    "short-run": "the last run of the first subject breaks off half way",
    "missing-run": "the last subject lacks the last run",
    "compressed": "series are .nii.gz, as some sites keep them",
}


def write(study: Study) -> None:
    """Write the whole tree under ``study.root``: subjects' folders, as in HCP_1200."""
    counts = study.counts(LIMITS)
    write_text(study.root / "README", f"HCP resting state\n\n{LABEL}")
    for position, subject in enumerate(study.settings.subjects):
        for run in range(counts["runs"]):
            is_last_run = run == counts["runs"] - 1
            if "missing-run" in study.quirks and subject == study.settings.subjects[-1] and is_last_run:
                continue
            path = _series_path(study, position, run)
            values = _rest(study, subject, run, counts["volumes"])
            if "short-run" in study.quirks and position == 0 and is_last_run:
                values = values[:, : counts["volumes"] // 2]
            write_series(path, values, repetition_time=REPETITION_TIME)
            if "compressed" in study.quirks:
                _compress(path)
    path = study.root / "phantom" / "modes.safetensors"
    artifacts.save_weights(path, {"modes": study.modes}, study.about(kind="phantom-truth"))


def _series_path(study: Study, position: int, run: int) -> Path:
    ending = ENDINGS[position % 2]
    if "no-msmall" in study.quirks and position == 0:
        ending = "_Atlas_hp2000_clean"
    folder = study.root / study.settings.subjects[position] / "MNINonLinear" / "Results" / RUNS[run]
    return folder / f"{RUNS[run]}{ending}.dtseries.nii"


def _compress(path: Path) -> None:
    """Replace a file by its .gz; no time goes in, so equal files stay equal."""
    with replacing(path.with_name(f"{path.name}.gz")) as partial:
        partial.write_bytes(gzip.compress(path.read_bytes(), compresslevel=1, mtime=0))
    path.unlink()


def _rest(study: Study, subject: str, run: int, volumes: int) -> np.ndarray:
    """A run of rest: the patterns of the noise with courses of their own, float32 (91,282, volumes)."""
    s = study.settings
    values = noise(
        study.rng(subject, run),
        study.modes,
        volumes,
        mode_share=s.rest_mode_share,
        rho=s.autocorrelation**REPETITION_TIME,
        mode_rho=s.mode_autocorrelation**REPETITION_TIME,
    )
    values *= np.float32(PER_UNIT)
    values += np.float32(BASELINE)
    return values
