"""The clips of BOLD Moments, in any of the trees in which people have them, and what annotators said of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from brainflix.artifacts import replacing
from brainflix.phantom.captions import PARAPHRASES, caption
from brainflix.phantom.clips import write_clip
from brainflix.phantom.study import Study, write_json
from brainflix.phantom.world import Scene, render

METADATA = Path("derivatives/stimuli_metadata")
# Frame rate -> {frames: how many of the 1,102 clips have them}.
FRAMES = {
    15: {45: 27, 46: 3},
    20: {59: 1, 60: 10},
    24: {72: 122, 73: 23, 74: 1},
    25: {75: 64, 76: 20},
    30: {87: 1, 89: 7, 90: 632, 91: 186, 92: 5},
}
FIELDS = {
    "bmd_matrixfilename": "row of the clip in the beta matrices",
    "MiT_url": "source of the clip",
    "MiT_filename": "class folder and file name in Moments in Time",
    "set": "train or test",
    "objects": "answers of annotators",
    "scenes": "answers of annotators",
    "actions": "answers of annotators",
    "text_descriptions": "five sentences",
    "spoken_transcription": "one per annotator",
    "memorability_score": "probability of being recognised, 0 to 1",
    "memorability_decay": "change of that per position",
    "THINGS_uniqueID": "concepts of THINGS",
    "PLACES365_classID": "classes of Places365",
    "MiT_classID": "classes of Moments in Time",
}


@dataclass(frozen=True)
class Clip:
    """One stimulus; ``number`` is the four-digit name."""

    number: int
    split: str
    scene: Scene
    fps: int
    frames: int

    @property
    def source(self) -> str:
        """Name of the file it was cut from Moments in Time as."""
        return f"simulated_{self.number:04d}.mp4"


def clip_of(study: Study, split: str, number: int) -> Clip:
    kinds = [(fps, frames, share) for fps, table in FRAMES.items() for frames, share in table.items()]
    shares = np.array([share for *_, share in kinds], float)
    rng = study.scene_rng(number + 5000)  # not the generator of the scene, which is that of `number`
    fps, frames, _ = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
    return Clip(number, split, study.scene(number), fps, frames)


def write_stimuli(study: Study, clips: list[Clip]) -> None:
    """Write every clip, and the annotations of all."""
    for clip in clips:
        _write_clip(study, clip)
    flat = "flat-annotations" in study.quirks
    annotations = {f"{clip.number:04d}": _annotation(study, clip) for clip in clips}
    for entry in annotations.values():
        entry["objects"] = list(chain(*entry["objects"])) if flat else entry["objects"]
    write_json(study.root / METADATA / "annotations.json", annotations)
    write_json(study.root / METADATA / "annotations_fieldnames.json", FIELDS)


def _write_clip(study: Study, clip: Clip) -> None:
    s, name, folder = study.settings, f"{clip.number:04d}", study.root / "stimuli"
    if "frame-folders" in study.quirks:
        _write_pictures(folder / "frames" / name, clip, pixels=s.pixels)
        return
    if "mp4-h264" in study.quirks:
        folder = study.root / METADATA / "mp4_h264"
    elif "flat-clips" not in study.quirks:
        folder = folder / clip.split
    write_clip(folder / f"{name}.mp4", clip.scene, frames=clip.frames, fps=clip.fps, pixels=s.pixels, crf=s.crf)


def _write_pictures(folder: Path, clip: Clip, *, pixels: int) -> None:
    """A JPEG per frame, 1.jpg ... 90.jpg: in order of their numbers, not of their names."""
    import cv2

    pictures = render(clip.scene, np.arange(clip.frames) / clip.fps, pixels=pixels)
    for i, picture in enumerate(pictures, start=1):
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        with replacing(folder / f"{i}.jpg") as partial:
            partial.write_bytes(encoded)


def _annotation(study: Study, clip: Clip) -> dict[str, object]:
    """Five of the grammar's paraphrases, and answers of four annotators as nested lists."""
    rng, scene = study.scene_rng(clip.number + 10_000), clip.scene
    paraphrases = rng.choice(PARAPHRASES, 5, replace=False)
    return {
        "bmd_matrixfilename": f"vid_idx{clip.number:04d}",
        "MiT_url": "",
        "MiT_filename": f"{scene.motion}/{clip.source}",
        "set": clip.split,
        "objects": [[scene.kind], [f"{scene.colour} {scene.kind}"], [scene.kind, scene.background], [scene.kind]],
        "scenes": [[scene.background] for _ in range(4)],
        "actions": [[scene.motion] for _ in range(4)],
        "text_descriptions": [caption(scene, paraphrase=int(p)) for p in paraphrases],
        "spoken_transcription": [caption(scene, paraphrase=int(paraphrases[0]))],
        "memorability_score": round(float(rng.uniform(0.6, 0.95)), 4),
        "memorability_decay": round(float(rng.uniform(-0.002, 0.0)), 6),
        "THINGS_uniqueID": [],
        "PLACES365_classID": [],
        "MiT_classID": [],
    }
