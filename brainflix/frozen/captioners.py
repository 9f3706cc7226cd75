"""BLIP: clips to image embeddings b, and captions from embeddings that may come from a brain.

Section 4: b is the mean over frames of the vision tower's last hidden states; the text decoder
reads it through cross-attention as it would read an image. Two traps are closed here: at another
resolution than the checkpoint's, BLIP needs ``interpolate_pos_encoding=True`` or silently takes the
wrong position embeddings; and ``generate``'s lengths count the prompt and the start token.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers.models.blip.modeling_blip import BlipForConditionalGeneration

from brainflix.errors import InputError
from brainflix.frozen.loading import device, explained, pretrained, scaled_pixels
from brainflix.frozen.protocols import DecodingSettings, Precision

IMAGES_AT_ONCE = 64
CAPTIONS_AT_ONCE = 64


class Blip:
    """A Captioner: BlipForConditionalGeneration with its BERT tokenizer.

    Raises:
        InputError: no such checkpoint, or half precision without a GPU.
    """

    def __init__(self, root: str, *, precision: Precision) -> None:
        from transformers import BertTokenizer

        self.model = pretrained(BlipForConditionalGeneration, root, precision=precision)
        with explained(BertTokenizer, root):
            self.tokenizer = BertTokenizer.from_pretrained(root)
        self.start = self.model.config.text_config.bos_token_id

    @torch.no_grad()
    def embed(self, frames: np.ndarray, *, pixel_scale: str) -> np.ndarray:
        """b, float32 (clip, token, width), of uint8 (clip, frame, row, column, 3).

        Raises:
            InputError: the frames are not square or not a multiple of the patch.
        """
        clips, count, rows, columns = frames.shape[:4]
        patch = self.model.config.vision_config.patch_size
        if rows != columns or rows % patch:
            raise InputError.about(
                "frames for BLIP", expected=f"a square of a multiple of {patch} px", found=f"{rows} x {columns}"
            )
        images = frames.reshape(clips * count, rows, columns, 3)
        parts = [
            self._states(images[i : i + IMAGES_AT_ONCE], pixel_scale) for i in range(0, len(images), IMAGES_AT_ONCE)
        ]
        return torch.cat(parts).unflatten(0, (clips, count)).mean(1).cpu().numpy()

    def _states(self, images: np.ndarray, pixel_scale: str) -> Tensor:
        pixels = scaled_pixels(images, pixel_scale, dtype=self.model.dtype)
        return self.model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state.float()

    def describe(self, embeddings: np.ndarray, *, settings: DecodingSettings) -> list[str]:
        """One caption per embedding (clip, token, width), without the prompt."""
        parts = (embeddings[i : i + CAPTIONS_AT_ONCE] for i in range(0, len(embeddings), CAPTIONS_AT_ONCE))
        return [caption for part in parts for caption in self._describe(part, settings)]

    @torch.no_grad()
    def _describe(self, embeddings: np.ndarray, settings: DecodingSettings) -> list[str]:
        b = torch.from_numpy(np.asarray(embeddings)).to(device(), self.model.dtype)
        prompt = self._prompt(settings.prompt)
        text = self.model.config.text_config
        ids = self.model.text_decoder.generate(
            input_ids=prompt.expand(len(b), -1).to(device()),
            encoder_hidden_states=b,
            encoder_attention_mask=torch.ones(b.shape[:2], dtype=torch.long, device=device()),
            eos_token_id=text.sep_token_id,  # not eos_token_id, which BLIP never learned
            pad_token_id=text.pad_token_id,
            num_beams=settings.beams,
            do_sample=False,
            repetition_penalty=settings.repetition_penalty,
            **_lengths(settings),
        )
        words = self.tokenizer.batch_decode(ids[:, prompt.shape[1] :], skip_special_tokens=True)
        return [" ".join(w.split()) for w in words]

    def _prompt(self, prompt: str) -> Tensor:
        """Token ids (1, token): the start token and the prompt, without its end token."""
        words = self.tokenizer(prompt, add_special_tokens=False).input_ids
        return torch.tensor([[self.start, *words]])


def _lengths(settings: DecodingSettings) -> dict[str, int]:
    names = ("min_length", "max_length") if settings.count_prompt else ("min_new_tokens", "max_new_tokens")
    return dict(zip(names, (settings.min_length, settings.max_length), strict=True))
