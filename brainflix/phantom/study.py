"""What all simulated studies have in common: settings, seeds, labels, and the known answer.

Every dataset is written on its own, possibly at the same time as the others, so whatever datasets share (the
feature space, the common part of the tuning, the patterns of the noise) is derived from the seed alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainflix import __version__, artifacts
from brainflix.atlas import CORTEX, GRAYORDINATES, vertices
from brainflix.atomic import replacing
from brainflix.errors import InputError
from brainflix.phantom import brain
from brainflix.phantom.features import WORLD_STREAM, Features, reference
from brainflix.phantom.settings import PhantomSettings
from brainflix.phantom.signals import drift, noise
from brainflix.phantom.world import Scene, sample_scene

DATASETS = {"bmd": 1, "had": 2, "cc2017": 3, "hcp": 4, "mosaic": 5}  # numbers that go into seeds: never renumber
NOISE_STREAM = 7
BASELINE, PER_UNIT = 10_000.0, 100.0  # a series of variance 1 becomes 1 % fluctuations around 10,000
LABEL = (
    "SIMULATED DATA. Written by brainflix's phantom: drawn clips, computed responses. Nobody was scanned.\n"
    "The layout is that of the real dataset; see phantom.json for the settings and phantom/ for the truth.\n"
)


@dataclass(frozen=True)
class Study:
    """One dataset being written under ``root``.

    Attributes:
        quirks: what of the dataset's rarer forms to write; each layout says which in its ``QUIRKS``.
    """

    dataset: str
    root: Path
    settings: PhantomSettings
    seed: int
    quirks: frozenset[str] = frozenset()

    def counts(self, limits: Mapping[str, int]) -> dict[str, int]:
        """The counts in the settings, checked.

        Args:
            limits: the keys this dataset has, and how many of each the real dataset has.

        Raises:
            InputError: a key is missing or unknown, or a count is not in 1..limit.
        """
        counts = self.settings.counts
        where = f"settings of the {self.dataset} phantom, counts"
        if set(counts) != set(limits):
            raise InputError.about(where, expected=f"the keys {', '.join(limits)}", found=", ".join(counts))
        for key, most in limits.items():
            if type(counts[key]) is not int or not 1 <= counts[key] <= most:
                raise InputError.about(f"{where}, {key}", expected=f"1 to {most}", found=repr(counts[key]))
        return dict(counts)

    def subject_number(self, subject: str) -> int:
        """The number in a subject's label, for seeds.

        Raises:
            InputError: the label is not a number.
        """
        if not subject.isdecimal():
            raise InputError.about(
                f"settings of the {self.dataset} phantom, subjects", expected="numbers", found=subject
            )
        return int(subject)

    def scene(self, number: int) -> Scene:
        """The scene of clip ``number`` of this dataset."""
        return sample_scene(self.scene_rng(number))

    def scene_rng(self, number: int) -> np.random.Generator:
        """Randomness of clip or film ``number`` of this dataset; unlike any that backbones are trained on."""
        return np.random.default_rng([self.seed, WORLD_STREAM, DATASETS[self.dataset], number])

    def rng(self, subject: str, *path: int) -> np.random.Generator:
        """Randomness of a subject's noise, events and the like."""
        number = self.subject_number(subject)
        return np.random.default_rng([self.seed, NOISE_STREAM, DATASETS[self.dataset], number, 1, *path])

    @cached_property
    def _reference(self) -> tuple[Features, np.ndarray]:
        s = self.settings
        return reference(grid=s.grid, rate=s.rate, clips=s.references, seconds=2.0, seed=self.seed)

    @property
    def features(self) -> Features:
        """The feature space, the same in every dataset of a seed."""
        return self._reference[0]

    @cached_property
    def modes(self) -> np.ndarray:
        """Smooth patterns of noise and rest: float32 (91,282, modes)."""
        s = self.settings
        return brain.modes(count=s.modes, steps=s.mode_smoothing, homotopic=s.homotopic, seed=self.seed)

    def tuning(self, subject: str) -> brain.Tuning:
        """Tuning of a subject."""
        return brain.tuning(
            features=self.features,
            reference=self._reference[1],
            steps=self.settings.tuning_smoothing,
            shared=self.settings.shared_fraction,
            seed=self.seed,
            dataset=DATASETS[self.dataset],
            subject=self.subject_number(subject),
        )

    def series_noise(self, rng: np.random.Generator, volumes: int, repetition_time: float) -> np.ndarray:
        """Noise of a run, of variance 1 before drift: float32 (91,282, volumes)."""
        s = self.settings
        values = noise(
            rng,
            self.modes,
            volumes,
            mode_share=s.mode_share,
            rho=s.autocorrelation**repetition_time,
            mode_rho=s.mode_autocorrelation**repetition_time,
        )
        return values

    def slow_drift(self, rng: np.random.Generator, volumes: int) -> np.ndarray:
        """Drift of a run: float32 (91,282, volumes)."""
        return np.float32(self.settings.drift) * drift(rng, self.modes, volumes)

    def dead_vertices(self, subject: str) -> np.ndarray:
        """Grayordinates that never carry a signal: a quarter of them in the 41 areas, the rest anywhere else."""
        rng, count = self.rng(subject, 99), self.settings.dead_vertices
        inside = vertices(brain.SPACE)
        outside = np.setdiff1d(np.arange(GRAYORDINATES), inside)
        few = -(-count // 4)
        chosen = [rng.choice(inside, few, replace=False), rng.choice(outside, count - few, replace=False)]
        return np.sort(np.concatenate(chosen))

    def about(self, **more: Any) -> dict[str, Any]:
        """Description for files of ours."""
        return {"dataset": self.dataset, "simulated": True, "seed": self.seed, **more}

    def write_features(self, stimuli: Sequence[str], values: np.ndarray) -> None:
        """Write the feature matrix of the stimuli, float32 (n_stimuli, n_features), to ``phantom/features.h5``."""
        samples = artifacts.Samples(
            kind="features",
            values=values.astype(np.float32),
            rows=pd.DataFrame({"stimulus": list(stimuli)}),
            axes=("feature",),
            unit="z over the reference clips",
            about=self.about(names=self.features.names),
        )
        artifacts.write(self.root / "phantom" / "features.h5", samples)

    def write_truth(self, subject: str, arrays: Mapping[str, np.ndarray], **more: Any) -> None:
        """Write what is true of a subject to ``phantom/truth-sub-<subject>.safetensors``."""
        path = self.root / "phantom" / f"truth-sub-{subject}.safetensors"
        header = {"kind": "phantom-truth", "shared_fraction": self.settings.shared_fraction, "cortex": CORTEX}
        artifacts.save_weights(path, arrays, self.about(subject=subject, **header, **more))

    def write_mark(self) -> None:
        """Say that the tree is simulated, before there is anything in it that could be taken for real."""
        write_text(self.root / "SIMULATED", LABEL)

    def write_label(self) -> None:
        """Say that the tree is whole and simulated: ``phantom.json``, the last file to be written."""
        quirks = {"quirks": sorted(self.quirks)} if self.quirks else {}
        label = self.about(settings=asdict(self.settings), version=__version__, **quirks)
        write_json(self.root / "phantom.json", label)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, keys in the order given."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_bids_top(root: Path, *, name: str, subjects: Sequence[str], version: str) -> None:
    """Write the files at the top of a BIDS tree, each saying that the data are simulated."""
    description = {
        "Name": f"{name} (simulated)",
        "BIDSVersion": "1.6.0",
        "DatasetType": "raw",
        "License": "CC0",
        "Simulated": True,
        "GeneratedBy": [{"Name": "brainflix phantom", "Version": __version__}],
    }
    write_json(root / "dataset_description.json", description)
    write_text(root / "README", f"{name}\n\n{LABEL}")
    write_text(root / "CHANGES", f"{version} (simulated)\n  - Simulated in the layout of this version.\n")
    participants = "".join(f"sub-{subject}\n" for subject in subjects)
    write_text(root / "participants.tsv", f"participant_id\n{participants}")
    write_json(root / "participants.json", {"participant_id": {"Description": "simulated participant"}})
