"""Every network of paper.yaml's size, built without memory on the meta device: counts and shapes.

The numbers are those of the published checkpoints' configurations, counted independently of this code.
"""

import math

import pytest
import torch

from brainflix.frozen.generators import sdedit
from brainflix.frozen.protocols import GenerationSettings


def count(model):
    return sum(p.numel() for p in model.parameters())


def build(make):
    with torch.device("meta"):
        return make().eval()


def zeroscope_unet():
    from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel

    return UNet3DConditionModel(
        sample_size=32,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        cross_attention_dim=1024,
        attention_head_dim=64,
    )


def zeroscope_vae():
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )


def text_config(**changes):
    from transformers.models.clip.configuration_clip import CLIPTextConfig

    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "hidden_act": "gelu"}
    return CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **sizes, **changes)


def zeroscope_text():
    from transformers.models.clip.modeling_clip import CLIPTextModel

    return CLIPTextModel(text_config(num_hidden_layers=23, projection_dim=512))


def openclip_text():
    from transformers.models.clip.modeling_clip import CLIPTextModelWithProjection

    return CLIPTextModelWithProjection(text_config(num_hidden_layers=24, projection_dim=1024))


def blip():
    from transformers.models.blip.configuration_blip import BlipConfig
    from transformers.models.blip.modeling_blip import BlipForConditionalGeneration

    return BlipForConditionalGeneration(BlipConfig(text_config={"num_attention_heads": 12}, projection_dim=512))


def vit():
    from transformers.models.vit.configuration_vit import ViTConfig
    from transformers.models.vit.modeling_vit import ViTForImageClassification

    return ViTForImageClassification(ViTConfig(num_labels=1000))


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (zeroscope_unet, 1_411_233_860),
        (zeroscope_vae, 83_653_863),
        (zeroscope_text, 340_387_840),
        (openclip_text, 354_032_640),
        (blip, 223_971_644),
        (vit, 86_567_656),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_number_of_parameters(make, parameters):
    assert count(build(make)) == parameters


def test_a_268_px_frame_becomes_a_latent_of_33_and_a_video_of_264():
    vae = build(zeroscope_vae)
    frames = torch.empty(15, 3, 268, 268, device="meta")
    z = vae.encode(frames).latent_dist.mean
    assert z.shape == (15, 4, 33, 33)
    assert math.prod(z.shape) == 65_340
    assert vae.decode(z).sample.shape == (15, 3, 264, 264)


def test_b_of_a_240_px_frame_has_226_tokens_of_768():
    vision = build(blip).vision_model
    pixels = torch.empty(1, 3, 240, 240, device="meta")
    assert vision(pixels, interpolate_pos_encoding=True).last_hidden_state.shape == (1, 226, 768)


def test_text_states_of_zeroscope_are_77_by_1024_and_openclip_embeds_in_1024():
    ids = torch.zeros(1, 77, dtype=torch.long, device="meta")
    assert build(zeroscope_text)(ids).last_hidden_state.shape == (1, 77, 1024)
    assert build(openclip_text)(ids).text_embeds.shape == (1, 1024)


def test_the_loop_runs_through_the_unet_of_zeroscope():
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    settings = GenerationSettings(
        frames=15, pixels=264, scheduler="ddim", timestep_spacing="leading", steps=2, strength=0.8, guidance=15.0,
        negative_prompt="", latent_factor=1.0, batch=1, precision="float32",
    )  # fmt: skip
    z = torch.empty(1, 4, 15, 33, 33, device="meta")
    text = torch.empty(2, 77, 1024, device="meta")

    class Steps(DDIMScheduler):
        """Schedules need numbers, which the meta device has none of: only the shapes pass through."""

        def add_noise(self, original, noise, timesteps):
            assert timesteps.shape == (15,)
            return original + noise

        def step(self, epsilon, t, z):
            return type("Step", (), {"prev_sample": z + epsilon})

    made = sdedit(build(zeroscope_unet), Steps(), noise=z, latents=z, text=text, settings=settings)
    assert made.shape == z.shape
