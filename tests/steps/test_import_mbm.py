"""import-mbm: a published checkpoint becomes an encoder that embed, align and pretrain take."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from brainflix import artifacts, atlas
from brainflix.artifacts import Samples
from brainflix.errors import InputError
from brainflix.models.mbm import MbmSettings
from brainflix.steps.embed import embed
from brainflix.steps.import_mbm import import_mbm
from brainflix.steps.pretrain import PretrainSettings, pretrain
from brainflix.training import TrainingSettings
from tests.models import mindvis

from .test_encode import TRAINING

SPACE = "glasser14"
VERTICES = len(atlas.vertices(SPACE))
CONFIG = {**mindvis.CONFIG, "patch_size": 16}
PATCHES = VERTICES // 16 + 1


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "checkpoint.pth"
    mindvis.save(path, mindvis.state(PATCHES, CONFIG), CONFIG)
    return path


@pytest.fixture
def encoder(published, tmp_path):
    import_mbm(published, out=tmp_path / "encoder.safetensors", pool="patches", space=SPACE)
    return tmp_path / "encoder.safetensors"


@pytest.fixture
def responses(tmp_path):
    rows = pd.DataFrame({"stimulus": [f"s{i}" for i in range(6)], "split": ["train"] * 4 + ["test"] * 2})
    rows = rows.assign(repeat=1, run="1")
    values = np.random.default_rng(3).standard_normal((6, VERTICES)).astype(np.float32)
    about = {"dataset": "bmd", "subject": "01", "simulated": False, "space": SPACE}
    artifacts.write(tmp_path / "sub-01.h5", Samples("responses", values, rows, ("vertex",), "z", about))
    return tmp_path / "sub-01.h5"


def settings(**changes):
    model = {
        "patch": 16, "width": 16, "depth": 2, "heads": 4, "mlp_ratio": 1.0, "decoder_width": 8, "decoder_depth": 3,
        "decoder_heads": 2, "mask_ratio": 0.75, "pool": "patches",
    }  # fmt: skip
    training = TrainingSettings(**{**TRAINING, "epochs": 2, "batch": 2})
    return PretrainSettings(model=MbmSettings(**{**model, **changes}), training=training)


def test_embeddings_are_the_means_of_their_tokens(encoder, responses, tmp_path):
    embed(encoder=encoder, responses=[responses], out=[tmp_path / "x.h5"], threads=1)
    made = artifacts.read(tmp_path / "x.h5", kind="embeddings")
    theirs = mindvis.Model(mindvis.state(PATCHES, CONFIG), CONFIG)
    full = mindvis.padded(artifacts.read(responses, kind="responses").values, 16)
    assert full.shape[1] == 16 * PATCHES
    for values, row in zip(made.values, full, strict=True):
        np.testing.assert_allclose(values, theirs.tokens(row, np.arange(PATCHES))[1:].mean(axis=0), atol=1e-5)


def test_the_file_says_what_it_is_and_where_it_comes_from(encoder, published):
    header = artifacts.load_weights(encoder, kind="encoder")[1]
    assert header["simulated"] is False and header["space"] == SPACE and header["wrapped_patches"] == PATCHES
    (stage,) = header["stages"]
    done = subprocess.run(["sha256sum", str(published)], capture_output=True, text=True, check=True)
    assert stage == {"step": "import_mbm", "file": "checkpoint.pth", "sha256": done.stdout.split()[0]}


def test_the_same_checkpoint_gives_the_same_bytes(encoder, published, tmp_path):
    import_mbm(published, out=tmp_path / "again.safetensors", pool="patches", space=SPACE)
    assert (tmp_path / "again.safetensors").read_bytes() == encoder.read_bytes()


def run_pretrain(encoder, responses, out, **changes):
    pretrain(
        responses=[responses], out=out, settings=settings(**changes), seed=1, checkpoints=out.parent / "checkpoints",
        threads=1, init=encoder,
    )  # fmt: skip


def test_pretraining_goes_on_from_it(encoder, responses, tmp_path):
    run_pretrain(encoder, responses, tmp_path / "more.safetensors")
    (before, header), (after, more) = (
        artifacts.load_weights(path, kind="encoder") for path in (encoder, tmp_path / "more.safetensors")
    )
    assert set(after) == set(before) and [stage["step"] for stage in more["stages"]] == ["import_mbm", "pretrain"]
    assert more["wrapped_patches"] == header["wrapped_patches"] and more["model"] == header["model"]
    for name in ("encoder.blocks.0.qkv.weight", "decoder.head.weight"):
        moved = np.abs(after[name] - before[name]).max()
        assert 0 < moved < 0.05, "it starts from there, and learns"


def test_pretraining_goes_on_from_the_same_settings_alone(encoder, responses, tmp_path):
    sentence = r"encoder\.safetensors: expected the model that .* found another \(depth was 2, is 3\)"
    with pytest.raises(InputError, match=sentence):
        run_pretrain(encoder, responses, tmp_path / "more.safetensors", depth=3)


def test_pretraining_needs_the_decoder(published, responses, tmp_path):
    weights = {k: v for k, v in mindvis.state(PATCHES, CONFIG).items() if not k.startswith(("decoder", "mask"))}
    mindvis.save(tmp_path / "half.pth", weights, CONFIG)
    half = tmp_path / "half.safetensors"
    import_mbm(tmp_path / "half.pth", out=half, pool="patches", space=SPACE)
    with pytest.raises(InputError, match=r"half\.safetensors: expected an encoder and its decoder .* found encoder$"):
        run_pretrain(half, responses, tmp_path / "more.safetensors", decoder_depth=0)


def test_a_published_encoder_does_not_meet_simulated_responses(encoder, responses, tmp_path):
    made = artifacts.read(responses, kind="responses")
    made.about["simulated"] = True
    artifacts.write(tmp_path / "simulated.h5", made)
    with pytest.raises(InputError, match="inputs disagree on 'simulated'"):
        embed(encoder=encoder, responses=[tmp_path / "simulated.h5"], out=[tmp_path / "x.h5"], threads=1)


@pytest.mark.parametrize(
    "content, found",
    [
        ([1, 2], "none under model"),
        ({"state_dict": {}}, "none under model"),
        ({"model": {"cls_token": torch.zeros(1, 1, 16)}}, "none under config"),
        ({"model": {}, "config": {"depth": 2}}, "none under config"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content, found):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=rf"other\.pth: expected a checkpoint of MinD-Vis, .* found {found}"):
        import_mbm(tmp_path / "other.pth", out=tmp_path / "x.safetensors", pool="patches", space=SPACE)
    assert not (tmp_path / "x.safetensors").exists()


def command(path, out):
    arguments = ["import-mbm", str(path), "--pool", "patches", "--space", "glasser23", "--out", str(out)]
    return subprocess.run([sys.executable, "-m", "brainflix", *arguments], capture_output=True, text=True)


def test_a_checkpoint_for_other_vertices_is_one_line_and_exit_code_1(published, tmp_path):
    done = command(published, tmp_path / "x.safetensors")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not (tmp_path / "x.safetensors").exists()
    assert "checkpoint.pth: expected positions of 511 patches of 16, for 8,161 vertices, found 377" in done.stderr
