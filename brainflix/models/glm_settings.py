"""What can be chosen about a GLM; apart from it, as options of datasets are read without loading nilearn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GlmSettings:
    """How responses to single trials are estimated.

    Attributes:
        estimator: ``lss`` (least squares separate), ``ridge``, or ``glmsingle``, where that package is installed.
        ridge_penalty: added to the diagonal of X'X; only ``ridge`` uses it.
        hrf: ``canonical`` (SPM's), or ``library``: per vertex the one of 18 that explains most.
        high_pass: slowest fluctuation that is kept, Hz; slower ones are drifts.
        slice_time: moment that a volume stands for, as a share of the repetition time: 0 its start, 0.5 its middle.
        onset_shift_seconds: added to every onset, where events count from after a lead-in.
        confounds: what of fMRIPrep's confounds is regressed out: nilearn's names (motion, wm_csf, compcor, ...).
        motion: how much of the motion parameters: basic (6), derivatives, power2 (12 each) or full (24).
    """

    estimator: Literal["lss", "ridge", "glmsingle"]
    ridge_penalty: float
    hrf: Literal["canonical", "library"]
    high_pass: float
    slice_time: float
    onset_shift_seconds: float
    confounds: tuple[str, ...]
    motion: Literal["basic", "derivatives", "power2", "full"]
