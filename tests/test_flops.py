"""Closed forms against torch's own counter, on networks without memory."""

from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from brainflix import flops
from brainflix.models.mbm import Encoder, MaskedBrainModel
from brainflix.models.mlp import ResidualMlp
from brainflix.models.settings import MbmSettings
from brainflix.settings import build

CONFIG = yaml.safe_load((Path(__file__).parents[1] / "config" / "paper.yaml").read_text())
PAPER = CONFIG["pretrain"]["model"]
SMALL = {**PAPER, "width": 48, "depth": 3, "heads": 4, "mlp_ratio": 1.5}
SMALL |= {"decoder_width": 32, "decoder_depth": 2, "decoder_heads": 4}
VERTICES = 13_168


def counted(call):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops()


def settings_of(sizes):
    return build(MbmSettings, sizes, where="model")


def split(patches, ratio, batch=1):
    seen = max(1, int(patches * (1 - ratio)))
    order = torch.arange(patches, device="meta").expand(batch, -1)
    return order[:, :seen], order[:, seen:]


@pytest.mark.parametrize("sizes", [SMALL, {**SMALL, "mlp_ratio": 4.0, "mask_ratio": 0.5}])
def test_masked_modelling_and_embedding_are_counted_exactly(sizes):
    with torch.device("meta"):
        model = MaskedBrainModel(settings_of(sizes), vertices=100)
        x = torch.empty(1, 100)
    parts = split(model.encoder.patches, sizes["mask_ratio"])
    assert counted(lambda: model(x, *parts)) == flops.masked_model(sizes, vertices=100)
    assert counted(lambda: model.encoder(x)) == flops.encoder(sizes, vertices=100)


def test_a_step_takes_three_forward_passes():
    with torch.device("meta"):
        model = MaskedBrainModel(settings_of(SMALL), vertices=1000)
        x = torch.empty(2, 1000)
    parts = split(model.encoder.patches, 0.75, batch=2)
    found = counted(lambda: model(x, *parts).sum().backward())
    assert found == pytest.approx(2 * flops.TRAINING * flops.masked_model(SMALL, vertices=1000), rel=0.03)


def test_the_paper_s_sizes_cost_what_was_counted_on_the_peers_own_code():
    """facts: 66 and 32 GFLOP forward, 295 a training step; 316 to embed a response."""
    assert flops.TRAINING * flops.masked_model(PAPER, vertices=VERTICES) == pytest.approx(295e9, rel=0.01)
    assert flops.encoder(PAPER, vertices=VERTICES, visible=0.25) == pytest.approx(66e9, rel=0.01)
    assert flops.encoder(PAPER, vertices=VERTICES) == pytest.approx(316e9, rel=0.01)
    with torch.device("meta"):
        encoder, x = Encoder(settings_of(PAPER), vertices=VERTICES), torch.empty(1, VERTICES)
    assert counted(lambda: encoder(x)) == flops.encoder(PAPER, vertices=VERTICES)


def test_the_mlp_is_counted_exactly():
    with torch.device("meta"):
        network = ResidualMlp(inputs=100, outputs=500, hidden=64, blocks=3, dropout=0.3).eval()
        x = torch.empty(1, 100)
    assert counted(lambda: network(x)) == flops.mlp(100, 500, {"hidden": 64, "blocks": 3})


def test_a_clip_of_the_paper_costs_351_teraflop():
    """facts: 32 executed steps with guidance and the decoder, at 33 x 33."""
    settings = {"steps": 50, "strength": 0.8, "guidance": 15.0, "frames": 15, "pixels": 264, "still": False}
    steps_of_facts = {**settings, "steps": 40}
    assert flops.generation(flops.FROZEN["zeroscope"], steps_of_facts) == pytest.approx(351e12, rel=0.01)
    without = flops.generation(flops.FROZEN["zeroscope"], {**settings, "guidance": 1})
    assert without < 0.6 * flops.generation(flops.FROZEN["zeroscope"], settings)


def test_latents_have_the_paper_s_size():
    assert flops.latent_numbers(flops.FROZEN["zeroscope"], frames=15, pixels=268) == 65_340
