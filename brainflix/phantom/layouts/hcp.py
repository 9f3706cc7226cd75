"""HCP resting state: cleaned series under the names of S1200 and of the 2025 release, turn by turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainflix import artifacts
from brainflix.phantom.cifti import write_series
from brainflix.phantom.signals import noise
from brainflix.phantom.study import BASELINE, LABEL, PER_UNIT, Study, write_text

LIMITS = {"runs": 4, "volumes": 1200}
RUNS = ("rfMRI_REST1_LR", "rfMRI_REST1_RL", "rfMRI_REST2_LR", "rfMRI_REST2_RL")
ENDINGS = ("_Atlas_MSMAll_hp2000_clean", "_Atlas_MSMAll_hp2000_clean_rclean_tclean")
REPETITION_TIME = 0.72


def write(study: Study) -> None:
    """Write the whole tree under ``study.root``: subjects' folders, as in HCP_1200."""
    counts = study.counts(LIMITS)
    write_text(study.root / "README", f"HCP resting state\n\n{LABEL}")
    for position, subject in enumerate(study.settings.subjects):
        for run in range(counts["runs"]):
            path = _series_path(study.root, subject, run, ENDINGS[position % 2])
            write_series(path, _rest(study, subject, run, counts["volumes"]), repetition_time=REPETITION_TIME)
    path = study.root / "phantom" / "modes.safetensors"
    artifacts.save_weights(path, {"modes": study.modes}, study.about(kind="phantom-truth"))


def _series_path(root: Path, subject: str, run: int, ending: str) -> Path:
    return root / subject / "MNINonLinear" / "Results" / RUNS[run] / f"{RUNS[run]}{ending}.dtseries.nii"


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
