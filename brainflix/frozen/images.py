"""CLIP's vision tower: frames to the space that its text tower shares."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from brainflix.frozen.loading import device, explained, pretrained
from brainflix.frozen.protocols import Precision

IMAGES_AT_ONCE = 64


class ClipImages:
    """An ImageEncoder; images are prepared as the checkpoint's preprocessor_config.json says, by Pillow."""

    def __init__(self, root: str, *, precision: Precision) -> None:
        self.model = pretrained(CLIPVisionModelWithProjection, root, precision=precision)
        with explained(CLIPImageProcessorPil, root):
            self.processor = CLIPImageProcessorPil.from_pretrained(root)

    @torch.no_grad()
    def embed(self, images: np.ndarray) -> np.ndarray:
        """float32 (image, width) of uint8 (image, row, column, 3), not normalised."""
        parts = []
        for start in range(0, len(images), IMAGES_AT_ONCE):
            pictures = [Image.fromarray(image) for image in images[start : start + IMAGES_AT_ONCE]]
            pixels = self.processor(pictures, return_tensors="pt").pixel_values
            parts.append(self.model(pixels.to(device(), self.model.dtype)).image_embeds.float().cpu())
        return torch.cat(parts).numpy()
