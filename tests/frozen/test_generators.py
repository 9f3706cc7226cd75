import dataclasses

import numpy as np
import pytest
import torch

from brainflix import frozen
from brainflix.errors import InputError
from brainflix.frozen.generators import LatentDiffusion, executed_steps
from brainflix.frozen.protocols import GenerationSettings
from tests.frozen.models import save_generator

SETTINGS = GenerationSettings(
    frames=3, pixels=32, scheduler="dpm++", timestep_spacing="leading", steps=5, strength=0.8, guidance=9.0,
    negative_prompt="", latent_factor=1.0, batch=2, precision="float32",
)  # fmt: skip
CAPTIONS = ["red ball on stripes", "green box", "a ball resting on tiles"]
SEEDS = [11, 22, 33]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_generator(tmp_path_factory.mktemp("generator"))


@pytest.fixture(scope="module")
def model(folder):
    return LatentDiffusion(str(folder), precision="float32")


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).standard_normal((3, 4, 3, 4, 4)).astype(np.float32)


def with_(**changes):
    return dataclasses.replace(SETTINGS, **changes)


@pytest.mark.parametrize("scheduler", ["dpm++", "ddim"])
@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_the_loop_equals_the_pipeline_of_diffusers_for_one_clip(model, folder, latents, scheduler, spacing):
    diffusers = pytest.importorskip("diffusers")
    if not hasattr(diffusers, "VideoToVideoSDPipeline"):
        pytest.skip("diffusers no longer has the pipeline")
    settings = with_(scheduler=scheduler, timestep_spacing=spacing)
    pipeline = diffusers.VideoToVideoSDPipeline(
        vae=model.vae, unet=model.unet, text_encoder=None, tokenizer=None, scheduler=model.scheduler(settings)
    )
    pipeline.set_progress_bar_config(disable=True)
    states = torch.from_numpy(model.text_states([CAPTIONS[0], ""]))
    expected = pipeline(
        video=torch.from_numpy(latents[:1]).transpose(1, 2),  # (clip, frame, channel, row, column)
        prompt_embeds=states[:1],
        negative_prompt_embeds=states[1:],
        strength=settings.strength,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=torch.Generator().manual_seed(SEEDS[0]),
        output_type="latent",
    ).frames
    ours = model._denoise(states[:1], states[1:], torch.from_numpy(latents[:1]), SEEDS[:1], settings)
    assert torch.equal(ours, expected)


def test_a_video_depends_on_its_own_seed_only_and_not_on_the_batch(model, latents):
    states = model.text_states(CAPTIONS)
    together = model.generate(states=states, latents=latents, seeds=SEEDS, settings=with_(batch=3))
    for i in range(3):
        one = slice(i, i + 1)
        alone = model.generate(states=states[one], latents=latents[one], seeds=SEEDS[one], settings=with_(batch=1))
        # Sums over a batch may be blocked differently: at most one grey level.
        assert np.abs(together[i].astype(int) - alone[0]).max() <= 1


def test_caption_latent_and_seed_all_matter(model, latents):
    states = model.text_states(CAPTIONS)
    a = model.generate(states=states[:1], latents=latents[:1], seeds=[1], settings=SETTINGS)
    assert a.shape == (1, 3, 32, 32, 3) and a.dtype == np.uint8
    for other in (
        {"states": states[1:2], "latents": latents[:1], "seeds": [1]},
        {"states": states[:1], "latents": latents[1:2], "seeds": [1]},
        {"states": states[:1], "latents": latents[:1], "seeds": [2]},
    ):
        assert np.abs(model.generate(**other, settings=SETTINGS).astype(int) - a).max() > 1


def test_without_latents_every_step_is_executed_from_pure_noise(model):
    states = model.text_states(CAPTIONS[:1])
    weak = model.generate(states=states, latents=None, seeds=[1], settings=with_(strength=0.4))
    strong = model.generate(states=states, latents=None, seeds=[1], settings=with_(strength=1.0))
    assert np.array_equal(weak, strong)
    assert weak.shape == (1, 3, 32, 32, 3)


@pytest.mark.parametrize(("steps", "strength", "executed"), [(4, 0.8, 3), (20, 0.8, 16), (40, 0.8, 32), (50, 0.8, 40)])
def test_the_executed_steps_are_the_truncated_product(steps, strength, executed):
    assert executed_steps(with_(steps=steps, strength=strength), from_noise=False) == executed


@pytest.mark.parametrize(("steps", "strength"), [(10, 0.05), (10, 0.0), (10, 1.2)])
def test_a_strength_that_executes_no_step_is_refused(model, latents, steps, strength):
    with pytest.raises(InputError, match=r"step|strength"):
        model.generate(
            states=model.text_states(CAPTIONS[:1]), latents=latents[:1], seeds=[1],
            settings=with_(steps=steps, strength=strength),
        )  # fmt: skip


def test_timestep_spacing_comes_from_the_settings_not_from_what_the_file_lacks(model):
    first = {}
    for spacing in ("leading", "linspace"):
        scheduler = model.scheduler(with_(timestep_spacing=spacing))
        scheduler.set_timesteps(20)
        first[spacing] = int(scheduler.timesteps[4])
    assert first == {"leading": 753, "linspace": 799}  # facts of the Zeroscope schedule


def test_encoding_scales_and_follows_the_mode_or_a_seeded_sample(model):
    frames = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32, 3), dtype=np.uint8)
    mode = model.encode(frames, seeds=None)
    sample = model.encode(frames, seeds=[5, 6])
    assert mode.shape == (2, *model.latent_shape(frames=3, pixels=32)) == (2, 4, 3, 4, 4)
    assert np.array_equal(sample[1:], model.encode(frames[1:], seeds=[6]))
    assert not np.array_equal(mode, sample)
    image = torch.from_numpy(frames[0, 1]).permute(2, 0, 1)[None] / 127.5 - 1
    expected = model.vae.encode(image).latent_dist.mode()[0] * model.vae.config.scaling_factor
    assert np.allclose(mode[0, :, 1], expected.numpy(), atol=1e-5)


def test_decoding_undoes_the_scale_and_keeps_frames_in_order(model, latents):
    videos = model.decode(latents)
    z = torch.from_numpy(latents[1, :, 2])[None] / model.vae.config.scaling_factor
    image = (model.vae.decode(z).sample[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0) * 255
    assert np.abs(videos[1, 2] - image.numpy()).max() <= 0.51


def test_old_bin_weights_load_like_safetensors(model, tmp_path, latents):
    old = LatentDiffusion(str(save_generator(tmp_path, safe=False)), precision="float32")
    assert list((tmp_path / "unet").glob("*.bin"))
    assert np.array_equal(old.decode(latents[:1]), model.decode(latents[:1]))


def test_a_folder_without_its_parts_is_refused_by_name(tmp_path):
    (tmp_path / "unet").mkdir()
    with pytest.raises(InputError, match="no vae, text_encoder, tokenizer, scheduler"):
        frozen.generator(str(tmp_path), precision="float32")


def test_a_damaged_weights_file_is_one_sentence(tmp_path, latents):
    save_generator(tmp_path)
    weights = next((tmp_path / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="vae: expected a checkpoint of AutoencoderKL"):
        LatentDiffusion(str(tmp_path), precision="float32").decode(latents[:1])
