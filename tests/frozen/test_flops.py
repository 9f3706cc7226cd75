"""The counts of pretrained models in brainflix.flops, against torch's counter on networks of their published sizes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from brainflix.flops import FROZEN

from . import test_paper_sizes as sizes


def counted(call):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        call()
    return counter.get_total_flops()


def empty(*shape, dtype=torch.float32):
    return torch.zeros(*shape, device="meta", dtype=dtype)


def test_zeroscope_denoises_and_decodes_at_the_table_s_cost():
    unet, vae, entry = sizes.build(sizes.zeroscope_unet), sizes.build(sizes.zeroscope_vae), FROZEN["zeroscope"]
    denoise = counted(lambda: unet(empty(1, 4, 15, 33, 33), 1, empty(1, 77, 1024)))
    assert denoise / 15 == pytest.approx(entry.denoise, rel=0.02)
    assert counted(lambda: vae.decode(empty(1, 4, 33, 33))) == pytest.approx(entry.decode, rel=0.02)
    assert counted(lambda: vae.encode(empty(1, 3, 264, 264))) == pytest.approx(entry.encode, rel=0.02)


@pytest.mark.parametrize(
    "make, name, call",
    [
        (sizes.zeroscope_text, "zeroscope", lambda m: m(empty(1, 77, dtype=torch.long))),
        (sizes.openclip_text, "openclip", lambda m: m(empty(1, 77, dtype=torch.long))),
    ],
)
def test_text_towers_cost_what_the_table_says(make, name, call):
    model = sizes.build(make)
    assert counted(lambda: call(model)) == pytest.approx(FROZEN[name].text, rel=0.02)


def test_vision_towers_cost_what_the_table_says():
    blip, vit = sizes.build(sizes.blip).vision_model, sizes.build(sizes.vit)
    found = counted(lambda: blip(empty(1, 3, 240, 240), interpolate_pos_encoding=True))
    assert found == pytest.approx(FROZEN["blip"].encode, rel=0.02)
    assert counted(lambda: vit(empty(1, 3, 224, 224))) == pytest.approx(FROZEN["vit"].encode, rel=0.02)
