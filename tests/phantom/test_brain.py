"""The simulated brain: its tuning is what its documentation says, and its known answer is true."""

import pickle

import numpy as np
import pytest

from brainflix import artifacts, atlas
from brainflix.errors import InputError
from brainflix.phantom import brain, features, mesh

INDEX = atlas.vertices("glasser41")
LEFT = 29_696


@pytest.fixture(scope="module")
def space():
    return features.reference(grid=4, rate=10.0, clips=96, seconds=2.0, seed=0)


def subject(space, number, *, shared, dataset=1):
    return brain.tuning(
        features=space[0], reference=space[1], steps=8, shared=shared, seed=0, dataset=dataset, subject=number
    )


def signal(space, tuning):
    return tuning.weights @ space[1].T


def test_reference_features_are_standardised_and_named(space):
    found, values = space
    assert len(found.names) == len(set(found.names)) == values.shape[1] == 5 * 16 + 23 + 6
    assert values.mean(axis=0) == pytest.approx(0, abs=1e-3)
    assert values.std(axis=0).max() == pytest.approx(1, abs=1e-3)


def test_every_area_has_exactly_one_group():
    areas = [area for group in brain.GROUPS.values() for area in group]
    assert sorted(areas) == sorted(atlas.rois("glasser41"))
    names = brain.groups()
    assert (names[INDEX] != brain.ELSEWHERE).all() and (names != brain.ELSEWHERE).sum() == 13_156
    assert all(sum(shares.values()) == pytest.approx(1) for shares in brain.CARRIES.values())


def test_signals_have_variance_one(space):
    assert signal(space, subject(space, 1, shared=0.6)).std(axis=1) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shared", [0.0, 0.6, 1.0])
def test_subjects_of_any_dataset_share_the_fraction_told(space, shared):
    one = signal(space, subject(space, 1, shared=shared))
    other = signal(space, subject(space, 2, shared=shared, dataset=3))
    agreement = (one * other).mean(axis=1)
    assert agreement.mean() == pytest.approx(shared, abs=0.03)


def test_tuning_is_smooth_over_the_mesh(space):
    values = signal(space, subject(space, 1, shared=0.6))
    places, within = mesh.mesh_coordinates()[:LEFT], brain.groups()[:LEFT]
    near, far = [], []
    for vertex in np.random.default_rng(0).choice(LEFT, 60):
        distance = np.linalg.norm(places - places[vertex], axis=1)
        same = within == within[vertex]
        near += list(values[np.flatnonzero((distance < 3) & (distance > 0) & same)] @ values[vertex] / 96)
        far += list(values[np.flatnonzero((distance > 25) & (distance < 26) & same)] @ values[vertex] / 96)
    assert np.mean(near) > 0.6
    assert np.mean(far) < 0.2


def test_early_areas_see_the_opposite_half_of_the_picture():
    seen = brain.receptive_fields(np.zeros((59_412, 2), np.float32), 8)
    assert seen.sum(axis=1) == pytest.approx(1, abs=1e-4)
    right_half = seen.reshape(-1, 8, 8)[:, :, 4:].sum(axis=(1, 2))
    v1 = INDEX[atlas.roi_slices("glasser41")["V1"]]
    assert right_half[v1[v1 < LEFT]].mean() > 0.75
    assert right_half[v1[v1 >= LEFT]].mean() < 0.25


def test_areas_carry_what_they_should(space):
    weights, names = subject(space, 1, shared=0.6).weights, np.array(space[0].names)
    of = brain.groups()

    def carried(group, prefixes):
        columns = [name.startswith(prefixes) for name in names]
        part = weights[np.ix_(of == group, columns)] @ space[1][:, columns].T
        return part.var(axis=1).mean()

    assert carried("early", ("contrast", "luminance", "red", "blue")) > 0.7
    assert carried("motion", ("energy", "motion")) > 0.7
    assert carried("ventral", ("kind", "colour", "background")) > 0.6
    assert carried("parietal", ("place",)) > 0.5


def test_modes_are_smooth_symmetric_and_of_unit_length():
    modes = brain.modes(count=32, steps=40, homotopic=0.6, seed=0)
    assert modes.shape == (91_282, 32) and modes.dtype == np.float32
    assert np.linalg.norm(modes, axis=1) == pytest.approx(1, abs=1e-4)
    left, right = (dict(zip(kept.tolist(), range(len(kept)), strict=True)) for kept in atlas.cortex_vertices())
    both = [(left[k], right[k] + LEFT) for k in range(0, 32_492, 50) if k in left and k in right]
    a, b = np.array(both).T
    homologous = np.einsum("vm,vm->v", modes[a], modes[b]).mean()
    assert homologous == pytest.approx(0.6, abs=0.15)
    assert np.einsum("vm,vm->v", modes[a], np.roll(modes[b], 111, axis=0)).mean() < 0.2


def test_numbers_by_group_must_name_every_group():
    with pytest.raises(InputError, match="early"):
        brain.by_group({"early": 0.5}, where="settings")


@pytest.mark.parametrize("number", ["01", "02"])
def test_an_independent_estimate_of_the_noise_ceiling_agrees_with_the_truth(phantom_root, number):
    """ncsnr from the repeats in the written file, by the definition, against the ratio that went in."""
    root = phantom_root("bmd")
    truth, about = artifacts.load_weights(root / "phantom" / f"truth-sub-{number}.safetensors", kind="phantom-truth")
    folder = root / "derivatives/versionB/fsLR32k/GLM" / f"sub-{number}" / "prepared_betas"
    name = f"sub-{number}_organized_betas_task-train_normalized.pkl"
    betas = pickle.loads((folder / name).read_bytes())[0][:, :, INDEX]
    within = betas.var(axis=1, ddof=1).mean(axis=0)
    between = np.maximum(betas.reshape(-1, len(INDEX)).var(axis=0, ddof=1) - within, 0)
    found, true = np.sqrt(between / within), truth["ncsnr_train"][INDEX]
    alive = np.isfinite(found)
    assert (~alive).sum() == 2 and about["simulated"] and about["shared_fraction"] == 0.6
    assert np.corrcoef(found[alive], true[alive])[0, 1] > 0.75
    assert np.polyfit(true[alive], found[alive], 1)[0] == pytest.approx(1, abs=0.15)


def test_written_subjects_share_tuning_but_are_not_the_same(phantom_root):
    both = [
        artifacts.load_weights(phantom_root("bmd") / "phantom" / f"truth-sub-{s}.safetensors", kind="phantom-truth")
        for s in ("01", "02")
    ]
    one, other = (arrays["tuning"][INDEX].astype(np.float32) for arrays, _ in both)
    samples = artifacts.read(phantom_root("bmd") / "phantom" / "features.h5", kind="features")
    assert samples.about["simulated"] and one.shape == (13_156, samples.values.shape[1])
    signals = [weights @ (samples.values - samples.values.mean(axis=0)).T for weights in (one, other)]
    agreement = (signals[0] * signals[1]).sum(axis=1) / np.prod([np.linalg.norm(s, axis=1) for s in signals], axis=0)
    assert agreement.mean() == pytest.approx(0.6, abs=0.1)
