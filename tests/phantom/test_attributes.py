"""The attribute check reads rendered clips, also blurred ones, and does not invent what is not there."""

import cv2
import numpy as np
import pytest

from brainflix.phantom import attributes
from brainflix.phantom.world import render, sample_scene


def scenes_and_clips(n, *, seed):
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(n)]
    seconds = [rng.uniform(0, 10) + rng.uniform(1.8, 3.2) * (np.arange(8) + 0.5) / 8 for _ in scenes]
    return scenes, [render(s, t, pixels=64) for s, t in zip(scenes, seconds, strict=True)]


def accuracies(scenes, clips):
    answers = attributes.read_videos(clips)
    return {
        name: np.mean([a.get(name) == getattr(s, name) for s, a in zip(scenes, answers, strict=True)])
        for name in attributes.CHANCE
    }


def test_clean_clips_are_read_right():
    assert min(accuracies(*scenes_and_clips(150, seed=11)).values()) >= 0.98


@pytest.mark.parametrize("sigma", [0.8, 1.4])
def test_blurred_clips_are_read_right(sigma):
    scenes, clips = scenes_and_clips(80, seed=12)
    blurred = [np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip]) for clip in clips]
    assert min(accuracies(scenes, blurred).values()) >= 0.97


def test_other_resolutions_are_read_too():
    rng = np.random.default_rng(13)
    scenes = [sample_scene(rng) for _ in range(20)]
    clips = [render(scene, np.arange(8) * 0.3, pixels=96) for scene in scenes]
    assert min(accuracies(scenes, clips).values()) >= 0.95


def test_shuffled_answers_are_at_chance():
    scenes, clips = scenes_and_clips(150, seed=14)
    shuffled = accuracies(scenes[1:] + scenes[:1], clips)
    for name, chance in attributes.CHANCE.items():
        assert abs(shuffled[name] - chance) < 0.12


def test_a_picture_without_an_object_has_only_a_background():
    empty = np.full((8, 64, 64, 3), (90, 80, 85), np.uint8)
    assert set(attributes.read_video(empty)) == {"background"}
