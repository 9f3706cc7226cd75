"""Captioner and CLIP: that training runs, resumes and is seeded, and that the shipped ones are good."""

import numpy as np
import pytest

from brainflix import frozen
from brainflix.errors import InputError
from brainflix.frozen.protocols import DecodingSettings
from brainflix.phantom.training import TRAINERS, checks, heads, scenes
from brainflix.steps.backbone import backbone

SIZES = {
    "pixels": 64, "patch": 16, "width": 8, "heads": 2, "vision_layers": 1, "text_layers": 1, "hidden": 8, "tokens": 24,
}  # fmt: skip
COMMON = {
    "sizes": SIZES, "frames": 2, "texture_steps": 1, "still_steps": 1, "clip_steps": 2, "scenes": 6, "clips": 3,
    "attribute_weight": 0.5, "learning_rate": 1e-3, "warmup_share": 0.1, "weight_decay": 0.05, "clip_norm": 1.0,
    "precision": "float32", "checkpoint_seconds": 1e9,
}  # fmt: skip
CORRUPTION = {"noise": 1.0, "shrinkage": 0.5, "leakage": 0.3}
SETTINGS = {
    "captioner": {**COMMON, **CORRUPTION, "refine_steps": 2, "refine_learning_rate": 1e-4},
    "clip": COMMON,
}
DECODING = DecodingSettings(prompt="", beams=1, min_length=4, max_length=20, count_prompt=True, repetition_penalty=6.0)


def train(name, folder, **changes):
    settings = {**SETTINGS[name], **changes.pop("settings", {})}
    arguments = {"seed": 0, "checkpoints": folder / "state", "threads": 1, "out": folder / name, **changes}
    backbone(name=name, settings=settings, **arguments)
    return (folder / name / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_seed_trains_the_same_model_and_leaves_no_state(tmp_path, name):
    first = train(name, tmp_path / "one")
    assert first == train(name, tmp_path / "two")
    assert first != train(name, tmp_path / "three", seed=1)
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == [name]


@pytest.mark.parametrize("name", SETTINGS)
def test_an_interrupted_training_goes_on_to_the_same_model(tmp_path, name, monkeypatch):
    whole = train(name, tmp_path / "whole")
    real, calls = scenes.clips, []

    def stop_in_the_third_step(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments, **settings)

    every_step = {"settings": {"checkpoint_seconds": 0.0}}
    monkeypatch.setattr(scenes, "clips", stop_in_the_third_step)
    with pytest.raises(KeyboardInterrupt):
        train(name, tmp_path / "cut", **every_step)
    monkeypatch.setattr(scenes, "clips", real)
    assert list((tmp_path / "cut" / "state").rglob("last.pt"))
    assert train(name, tmp_path / "cut", **every_step) == whole


def test_a_trained_folder_loads_like_a_published_one(tmp_path):
    train("captioner", tmp_path)
    train("clip", tmp_path)
    frames = np.zeros((1, 2, 64, 64, 3), np.uint8)
    b = frozen.captioner(str(tmp_path / "captioner"), precision="float32").embed(frames, pixel_scale="unit")
    assert b.shape == (1, 17, 8)
    assert frozen.text_encoder(str(tmp_path / "clip"), precision="float32").embed(["one red ball"]).shape == (1, 8)


def test_training_and_validation_scenes_differ():
    def first(stream):
        return scenes.clip(0, frames=1, pixels=8, seed=0, stream=stream)[0]

    assert first(scenes.TRAINING) != first(scenes.VALIDATION)


def test_an_unknown_backbone_is_refused_with_the_names_that_exist(tmp_path):
    with pytest.raises(InputError, match=r"expected one of .*captioner, clip.*, found bert"):
        backbone(name="bert", settings={}, seed=0, checkpoints=tmp_path, threads=1, out=tmp_path / "out")
    assert set(SETTINGS) <= set(TRAINERS)


def test_the_shipped_captioner_names_what_unseen_clips_show():
    found = checks.caption_accuracies("brainflix:tiny/captioner", decoding=DECODING, clips=100, seed=0)
    assert min(found.values()) >= 0.9, found


def test_a_shrunken_embedding_still_says_most():
    found = checks.caption_accuracies("brainflix:tiny/captioner", decoding=DECODING, clips=100, seed=0, shrinkage=0.3)
    assert min(found.values()) >= 0.9, found


def test_the_shipped_clip_tells_captions_apart_and_what_a_frame_shows():
    of_clips, of_wordings = checks.retrieval_accuracies("brainflix:tiny/clip", clips=100, seed=0)
    assert min(of_wordings.values()) >= 0.95, of_wordings
    assert min(of_clips[name] for name in heads.STILL) >= 0.85, of_clips  # motion: its vision tower sees none
