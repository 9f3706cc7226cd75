import numpy as np
import pytest

from brainflix import frozen
from brainflix.frozen.classifiers import VisionTransformer


@pytest.fixture(scope="module")
def lite0():
    return frozen.classifier("efficientnet-lite0", precision="float32")


def test_the_shipped_classifier_knows_a_cup_of_espresso_a_rocket_and_a_cat(lite0):
    """Photographs and labels are scikit-image's; ImageNet: 967 espresso, 657 missile, 281-285 cats."""
    data = pytest.importorskip("skimage.data")
    log_p = np.concatenate(
        [lite0.log_probabilities(image()[None]) for image in (data.coffee, data.rocket, data.chelsea)]
    )
    assert log_p.argmax(axis=1)[:2].tolist() == [967, 657]
    assert np.exp(log_p[0, 967]) == pytest.approx(0.951, abs=0.01)
    assert np.exp(log_p[2, 281:286]).sum() > 0.8


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(lite0):
    images = np.random.default_rng(0).integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    log_p = lite0.log_probabilities(images)
    assert log_p.shape == (18, 1000)
    assert np.allclose(np.exp(log_p).sum(axis=1), 1, atol=1e-5)
    assert np.allclose(lite0.log_probabilities(images[17:]), log_p[17:], atol=1e-4)


def test_the_light_classifier_has_the_published_size(lite0):
    assert sum(p.numel() for p in lite0.model.parameters()) == 4_652_008


def test_a_vision_transformer_prepares_frames_as_its_checkpoint_says(tmp_path):
    import torch
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        num_labels=7,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    model.save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)  # no resizing
    log_p = VisionTransformer(str(tmp_path), precision="float32").log_probabilities(images)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    expected = model.eval()(pixels).logits.log_softmax(1).detach().numpy()
    assert np.allclose(log_p, expected, atol=1e-5)
