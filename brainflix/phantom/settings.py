"""Settings of a simulated study; imports nothing, so a workflow can check them early."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PhantomSettings:
    """How one simulated dataset is made. Numbers stand in the config, see ``config/demo.yaml``.

    Attributes:
        subjects: labels as the dataset spells them, e.g. ``01``, ``1``, ``100206``.
        counts: how much of the dataset exists; which keys depends on the dataset.
        pixels: width and height of the clips.
        crf: constant rate factor of the H.264 encoder (0 best, 51 worst).
        grid: cells per side of the coarse picture that early areas see.
        rate: frames per second that features are computed from.
        references: clips over which features and tuning are standardised.
        shared_fraction: share of the tuning's signal variance that all subjects have in common.
        ncsnr: by group of areas: signal over noise standard deviation of a single trial's beta.
        reliability: by group of areas: share of signal variance in a single run's series.
        tuning_smoothing, mode_smoothing: diffusion steps over the mesh (more is smoother).
        modes: number of smooth patterns of noise and rest.
        homotopic: correlation of those patterns between the hemispheres.
        mode_share, rest_mode_share: share of the variance of noise, and of rest, that lies in the patterns.
        autocorrelation, mode_autocorrelation: correlation over one second of white noise and of the patterns.
        drift: standard deviation of slow drifts, relative to a series without them.
        dead_vertices: grayordinates without signal in the betas of BMD, which become NaN there.
    """

    subjects: tuple[str, ...]
    counts: dict[str, int]
    pixels: int
    crf: int
    grid: int
    rate: float
    references: int
    shared_fraction: float
    ncsnr: dict[str, float]
    reliability: dict[str, float]
    tuning_smoothing: int
    modes: int
    mode_smoothing: int
    homotopic: float
    mode_share: float
    rest_mode_share: float
    autocorrelation: float
    mode_autocorrelation: float
    drift: float
    dead_vertices: int
