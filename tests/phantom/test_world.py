"""The procedural world: what a scene says is what its pixels show."""

import numpy as np
import pytest

from brainflix.phantom import world


def scenes(n, *, seed=0):
    rng = np.random.default_rng(seed)
    return [world.sample_scene(rng) for _ in range(n)]


def replaced(scene, **changes):
    return world.Scene(**{**vars(scene), **changes})


def test_the_same_seed_draws_the_same_scene_and_pixels():
    first, second = scenes(1, seed=3)[0], scenes(1, seed=3)[0]
    assert first == second
    times = np.arange(4) / 4
    np.testing.assert_array_equal(world.render(first, times, pixels=48), world.render(second, times, pixels=48))


def test_every_attribute_occurs():
    drawn = scenes(300)
    for name, values in [("kind", world.KINDS), ("colour", world.COLOURS), ("motion", world.MOTIONS)]:
        assert {getattr(s, name) for s in drawn} == set(values)


@pytest.mark.parametrize("kind", world.KINDS)
@pytest.mark.parametrize("background", world.BACKGROUNDS)
def test_every_object_shows_its_colour_at_its_place(kind, background):
    scene = replaced(scenes(1)[0], kind=kind, background=background, motion="resting", colour="red", size=0.4)
    frame = world.render(scene, np.zeros(1), pixels=64)[0].astype(int)
    redness = frame[..., 0] - frame[..., 1:].max(-1)
    rows, columns = np.nonzero(redness > 100)
    x, y, _ = world.place(scene, np.zeros(1))[0] * 64
    assert abs(columns.mean() + 0.5 - x) < 1
    assert abs(rows.mean() + 0.5 - y) < 0.1 * 64
    assert frame.shape == (64, 64, 3)


@pytest.mark.parametrize("motion", world.MOTIONS)
def test_motion_changes_only_what_its_name_says(motion):
    scene = next(s for s in scenes(100) if s.motion == motion)
    path = world.place(scene, np.linspace(0, 3, 60))
    moving = {"resting": (0, 0, 0), "sliding": (1, 0, 0), "bobbing": (0, 1, 0)}
    moving |= {"circling": (1, 1, 0), "pulsing": (0, 0, 1)}
    assert tuple((np.ptp(path, axis=0) > 0.05).astype(int)) == moving[motion]


def test_the_texture_stands_still_while_the_object_moves():
    scene = replaced(scenes(1)[0], motion="sliding", x=0.5, y=0.3, amplitude=0.15, size=0.3)
    clip = world.render(scene, np.linspace(0, 2, 8), pixels=64)
    assert (clip[:, 40:] == clip[0, 40:]).all()
    assert (clip[:, :40] != clip[0, :40]).any()


def test_resolution_changes_detail_but_not_the_picture():
    for scene in scenes(10):
        small = world.render(scene, np.zeros(1), pixels=48)[0].astype(float)
        large = world.render(scene, np.zeros(1), pixels=96)[0].astype(float)
        halved = large.reshape(48, 2, 48, 2, 3).mean((1, 3))
        assert np.abs(small - halved).mean() < 4


def test_objects_stay_almost_inside():
    for scene in scenes(200):
        path = world.place(scene, np.linspace(0, 4, 100))
        low = path[:, :2] - 0.45 * path[:, 2:]
        high = path[:, :2] + 0.45 * path[:, 2:]
        assert low.min() > -1e-9 and high.max() < 1 + 1e-9
