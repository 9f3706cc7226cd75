"""EILEV, the captioner the paper names for datasets without human captions (section 5.1).

It is BLIP-2 whose Q-Former reads the patch tokens of all frames of a clip at once (VideoBLIP), with
no weights of its own, so transformers' Blip2ForConditionalGeneration loads it: kpyu/eilev-blip2-opt-2.7b.
Its authors show it 8 frames of 224 px at CLIP's pixel scale and ask "Question: What is the camera wearer
doing? Answer:", with 5 beams and up to 32 new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers.models.blip_2.modeling_blip_2 import Blip2ForConditionalGeneration

from brainflix.errors import InputError
from brainflix.frozen.loading import device, explained, pretrained, scaled_pixels
from brainflix.frozen.protocols import DecodingSettings, Precision

LENGTH_PENALTY = -1.0  # EILEV's own; matters to beams only
CAPTIONS_AT_ONCE = 8


class Eilev:
    """A Captioner of clips: BLIP-2 with a decoder-only language model (OPT), which ends a caption with a new line.

    Raises:
        InputError: no such checkpoint, another language model, or half precision without a GPU.
    """

    def __init__(self, root: str, *, precision: Precision) -> None:
        from transformers import AutoTokenizer

        self.model = pretrained(Blip2ForConditionalGeneration, root, precision=precision)
        if not self.model.config.use_decoder_only_language_model:
            raise InputError.about(root, expected="BLIP-2 with OPT", found=self.model.config.text_config.model_type)
        with explained(AutoTokenizer, root):
            self.tokenizer = AutoTokenizer.from_pretrained(root)

    @torch.no_grad()
    def embed(self, frames: np.ndarray, *, pixel_scale: str) -> np.ndarray:
        """float32 (clip, query, width) of uint8 (clip, frame, row, column, 3): what the language model reads."""
        return np.stack([self._read(clip, pixel_scale) for clip in frames])

    def _read(self, clip: np.ndarray, pixel_scale: str) -> np.ndarray:
        model = self.model
        pixels = scaled_pixels(clip, pixel_scale, dtype=model.vision_model.dtype)
        states = model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
        states = states.flatten(0, 1)[None]  # the tokens of all frames, one after the other
        read = model.qformer(
            query_embeds=model.query_tokens,
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(states.shape[:2], dtype=torch.long, device=states.device),
        )
        projection = model.language_projection
        return projection(read.last_hidden_state.to(projection.weight.dtype))[0].float().cpu().numpy()

    def describe(self, embeddings: np.ndarray, *, settings: DecodingSettings) -> list[str]:
        """One caption per clip's embedding (clip, query, width), without the prompt."""
        parts = (embeddings[i : i + CAPTIONS_AT_ONCE] for i in range(0, len(embeddings), CAPTIONS_AT_ONCE))
        return [caption for part in parts for caption in self._describe(part, settings)]

    @torch.no_grad()
    def _describe(self, embeddings: np.ndarray, settings: DecodingSettings) -> list[str]:
        language = self.model.language_model
        prompt = self.tokenizer(settings.prompt, return_tensors="pt").input_ids.to(device())
        words = language.get_input_embeddings()(prompt).expand(len(embeddings), -1, -1)
        clips = torch.from_numpy(np.asarray(embeddings)).to(words)
        counted = prompt.shape[1] if settings.count_prompt else 0
        ids: Tensor = language.generate(
            inputs_embeds=torch.cat([clips, words], dim=1),
            attention_mask=torch.ones(len(clips), clips.shape[1] + words.shape[1], dtype=torch.long, device=device()),
            num_beams=settings.beams,
            do_sample=False,
            repetition_penalty=settings.repetition_penalty,
            length_penalty=LENGTH_PENALTY,
            min_new_tokens=max(settings.min_length - counted, 0),
            max_new_tokens=max(settings.max_length - counted, 1),
            eos_token_id=self._ends(),
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return [" ".join(c.split()) for c in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def _ends(self) -> Sequence[int]:
        """Token ids that end a caption: a new line (50118 in OPT), and the end of text."""
        newline = self.tokenizer("\n", add_special_tokens=False).input_ids
        return [*newline[-1:], self.tokenizer.eos_token_id]
