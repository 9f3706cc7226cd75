"""Fixtures that tests of several folders share."""

from pathlib import Path

import jaxtyping
import pytest

from brainflix.phantom.study import PhantomSettings
from brainflix.steps.synthesize import synthesize

BRAIN = {
    "pixels": 32,
    "crf": 30,
    "grid": 4,
    "rate": 10.0,
    "references": 64,
    "shared_fraction": 0.6,
    "ncsnr": {"early": 0.6, "motion": 0.45, "ventral": 0.45, "parietal": 0.25, "other": 0.1, "elsewhere": 0.05},
    "reliability": {
        "early": 0.35,
        "motion": 0.3,
        "ventral": 0.25,
        "parietal": 0.12,
        "other": 0.05,
        "elsewhere": 0.02,
    },
    "tuning_smoothing": 8,
    "modes": 8,
    "mode_smoothing": 8,
    "homotopic": 0.6,
    "mode_share": 0.3,
    "rest_mode_share": 0.5,
    "autocorrelation": 0.6,
    "mode_autocorrelation": 0.8,
    "drift": 0.3,
    "dead_vertices": 8,
}
STUDIES = {
    "bmd": (("01", "02"), {"train_clips": 40, "train_repeats": 3, "test_clips": 4, "test_repeats": 2}),
    "had": (("01",), {"cycles": 1}),
    "cc2017": (("1",), {"train_segments": 1, "train_repeats": 2, "test_segments": 2, "test_repeats": 1}),
    "mosaic": (("01",), {"train_clips": 8, "train_repeats": 3, "test_clips": 4, "test_repeats": 4}),
    "hcp": (("100206", "100307"), {"runs": 1, "volumes": 20}),
}


def phantom_settings(dataset: str, **changes) -> PhantomSettings:
    """Settings of a study as small as it can be: few clips and runs, all grayordinates."""
    subjects, counts = STUDIES[dataset]
    return PhantomSettings(**{**BRAIN, "subjects": subjects, "counts": counts, **changes})


def phantom_section(config, *datasets) -> dict:
    """The config's section that simulates these datasets, at the size the config says they have."""
    section = {}
    for name in datasets or config["datasets"]:
        subjects, options = config["datasets"][name]["subjects"], config["datasets"][name]["options"]
        counts = {key: options[key] for key in STUDIES[name][1] if key in options}
        if name == "hcp":
            counts = {"runs": len(options["runs"]), "volumes": 20}
        if name == "mosaic":
            counts = {"train_clips": 1000, "train_repeats": 3, "test_clips": 102, "test_repeats": 10}
        section[name] = {**BRAIN, "subjects": subjects, "counts": counts}
    return section


@pytest.fixture(scope="session")
def phantom_root(tmp_path_factory):
    """A function from a dataset's name to the root of its simulated tree, written once a session."""
    roots: dict[str, Path] = {}

    def root(dataset: str) -> Path:
        if dataset not in roots:
            roots[dataset] = tmp_path_factory.mktemp("phantom") / dataset
            synthesize(dataset=dataset, root=roots[dataset], settings=phantom_settings(dataset), seed=0)
        return roots[dataset]

    return root


@pytest.fixture
def unchecked_shapes():
    """Annotations of arrays are checked in tests (pyproject.toml); not where a function is to refuse them itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
