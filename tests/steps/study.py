"""A study small enough to check by hand, and frozen models that are a few lines each."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from brainflix import artifacts, figures
from brainflix.artifacts import Samples

FRAMES, PIXELS, GRID, TEST, TRAIN, CLASSES = 4, 32, 4, 6, 5, 60
ABOUT = {"dataset": "toy", "simulated": True}
AXES = {"z": ("channel", "frame", "row", "column"), "b": ("token", "width"), "y": ("frame", "class")}


def movie(number: int) -> np.ndarray:
    """A coloured gradient with a box that moves: uint8 (8, PIXELS, PIXELS, 3)."""
    rng = np.random.default_rng(number)
    small = rng.integers(30, 220, (3, 3, 3), dtype=np.uint8)
    picture = cv2.resize(small, (PIXELS, PIXELS), interpolation=cv2.INTER_CUBIC)
    frames = np.repeat(picture[None], 8, axis=0)
    colour = rng.integers(0, 256, 3, dtype=np.uint8)
    for time, frame in enumerate(frames):
        frame[8:16, 2 * time : 2 * time + 8] = colour
    return frames


def latents(clips: np.ndarray) -> np.ndarray:
    """z of clips (n, frame, row, column, 3): small pictures, (n, 3, FRAMES, GRID, GRID) in [-1, 1]."""
    chosen = clips[:, np.linspace(0, clips.shape[1] - 1, FRAMES).astype(int)]
    small = [[cv2.resize(f, (GRID, GRID), interpolation=cv2.INTER_AREA) for f in clip] for clip in chosen]
    return np.moveaxis(np.array(small, np.float32) / 127.5 - 1, -1, 1)


class Generator:
    """A latent drawn large, with noise of the clip's own seed; a corner says how long the caption is."""

    def text_states(self, captions):
        return np.array([len(c) for c in captions], np.float32).reshape(-1, 1, 1)

    def generate(self, *, states, latents, seeds, settings):
        if latents is None:
            latents = np.zeros((len(states), 3, settings.frames, GRID, GRID), np.float32)
        videos = []
        for state, z, seed in zip(states, latents, seeds, strict=True):
            noise = np.random.default_rng(seed).normal(0, 0.02, z.shape)
            small = np.clip((np.moveaxis(z + noise, 0, -1) + 1) * 127.5, 0, 255).astype(np.uint8)
            clip = np.stack([cv2.resize(f, (PIXELS, PIXELS), interpolation=cv2.INTER_CUBIC) for f in small])
            clip[:, 0, 0] = int(state.ravel()[0])
            videos.append(clip)
        return np.stack(videos)


class Captioner:
    """Reads the first number of an embedding aloud."""

    def describe(self, embeddings, *, settings):
        return [f"{settings.prompt}{b.ravel()[0]:.2f}" for b in embeddings]


class Classifier:
    """A fixed random linear read-out of a small picture."""

    def log_probabilities(self, frames):
        small = np.stack([cv2.resize(f, (GRID, GRID), interpolation=cv2.INTER_AREA) for f in frames])
        weights = np.random.default_rng(0).normal(size=(GRID * GRID * 3, CLASSES))
        scores = (small.reshape(len(frames), -1) / 60.0 - 2) @ weights
        return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


def write(folder: Path) -> None:
    """Movies, stimuli.tsv, captions.tsv, and targets and predictions of z, b and classes."""
    names = [f"{i:02d}" for i in range(TRAIN + TEST)]
    split = np.array(["train"] * TRAIN + ["test"] * TEST)
    clips = np.stack([movie(i) for i in range(len(names))])
    for name, clip in zip(names, clips, strict=True):
        figures.write_mp4(folder / f"{name}.mp4", clip, fps=4, repeats=1)
    table = pd.DataFrame({"stimulus": names, "split": split, "path": [str(folder / f"{n}.mp4") for n in names]})
    artifacts.write_table(folder / "stimuli.tsv", table.assign(start_seconds="", stop_seconds=""))
    captions = [(n, i, f"clip {n} in words {i}", "grammar") for n in names for i in (1, 0)]
    columns = ["stimulus", "caption_index", "caption", "source"]
    artifacts.write_table(folder / "captions.tsv", pd.DataFrame(captions, columns=columns))
    rows = table[["stimulus", "split"]]
    shown = clips[:, np.linspace(0, 7, 2).astype(int)]
    values = {
        "z": latents(clips),
        "b": np.random.default_rng(1).normal(size=(len(names), 3, 8)).astype(np.float32),
        "y": np.stack([Classifier().log_probabilities(clip) for clip in shown]),
    }
    for key, array in values.items():
        about = {**ABOUT, "model": "toy-classifier" if key == "y" else "toy"}
        about["settings"] = {"frames": 2, "pixels": PIXELS, "precision": "float32"}
        artifacts.write(folder / f"{key}.h5", Samples("targets", array, rows, AXES[key], "1", about))
        noise = np.random.default_rng(2).normal(0, 0.3, array.shape).astype(np.float32)
        guess = Samples("predictions", (0.6 * array + noise)[TRAIN:], rows[TRAIN:], AXES[key], "1", about)
        artifacts.write(folder / f"{key}-predicted.h5", guess)
        mean = np.repeat(array[:TRAIN].mean(axis=0, keepdims=True), TEST, axis=0)
        average = Samples("predictions", mean, rows[TRAIN:], AXES[key], "1", about)
        artifacts.write(folder / f"{key}-mean.h5", average)
