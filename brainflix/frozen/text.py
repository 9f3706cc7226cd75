"""Text towers: captions to pooled embeddings (what encoders are aligned with), and tokenizing for generators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPTextModelWithProjection

from brainflix.frozen.loading import device, explained, pretrained
from brainflix.frozen.protocols import Precision


class ClipText:
    """A TextEncoder: CLIP's text tower with its projection, from any CLIP checkpoint."""

    def __init__(self, root: str, *, precision: Precision) -> None:
        self.model = pretrained(CLIPTextModelWithProjection, root, precision=precision)
        self.tokenizer = tokenizer(root)

    @torch.no_grad()
    def embed(self, captions: Sequence[str]) -> np.ndarray:
        """float32 (caption, width): the projected state of the end token, not normalised."""
        ids = padded_tokens(self.tokenizer, captions, length=self.model.config.max_position_embeddings)
        return self.model(ids.to(device())).text_embeds.float().cpu().numpy()


def tokenizer(root: str, *, subfolder: str = "") -> Any:
    """CLIP's tokenizer of a checkpoint.

    Raises:
        InputError: it is missing or damaged.
    """
    from transformers import CLIPTokenizer

    with explained(CLIPTokenizer, root, subfolder):
        return CLIPTokenizer.from_pretrained(root, subfolder=subfolder)


def padded_tokens(tokenizer: Any, captions: Sequence[str], *, length: int) -> Tensor:
    """Token ids int64 (caption, length), cut and padded (77 for Zeroscope)."""
    tokens = tokenizer(list(captions), padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    return tokens.input_ids
