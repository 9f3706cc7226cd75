"""Small untrained BLIP and CLIP models in transformers' own classes, with tokenizers for a closed vocabulary.

Trained on the simulated world they become the backbones of the demo, in checkpoint folders that
load by the same code as the real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BertTokenizer, BlipForConditionalGeneration, CLIPModel, CLIPTokenizer


@dataclass(frozen=True)
class TransformerSizes:
    """Sizes of a vision tower and a text tower that share a width.

    Attributes:
        pixels, patch: height and width of a frame and of a patch, px.
        width: of all hidden states.
        heads: attention heads.
        vision_layers, text_layers: blocks.
        hidden: width inside the blocks' MLPs.
        tokens: longest text.
    """

    pixels: int
    patch: int
    width: int
    heads: int
    vision_layers: int
    text_layers: int
    hidden: int
    tokens: int


def blip(sizes: TransformerSizes, *, words: Sequence[str]) -> tuple[BlipForConditionalGeneration, BertTokenizer]:
    """A captioner with random weights (global random state) and its tokenizer."""
    from transformers import BertTokenizer
    from transformers.models.blip.configuration_blip import BlipConfig, BlipTextConfig, BlipVisionConfig
    from transformers.models.blip.modeling_blip import BlipForConditionalGeneration

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    tokenizer = BertTokenizer(vocab=vocabulary, bos_token="[DEC]", model_max_length=sizes.tokens)
    text = BlipTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=sizes.width,
        encoder_hidden_size=sizes.width,
        intermediate_size=sizes.hidden,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.tokens,
        bos_token_id=vocabulary["[DEC]"],
        sep_token_id=vocabulary["[SEP]"],
        eos_token_id=vocabulary["[SEP]"],
        pad_token_id=vocabulary["[PAD]"],
    )
    vision = BlipVisionConfig(**_tower(sizes, sizes.vision_layers), **_image(sizes), initializer_range=0.02)
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=sizes.width)
    return BlipForConditionalGeneration(config), tokenizer


def clip(sizes: TransformerSizes, *, words: Sequence[str]) -> tuple[CLIPModel, CLIPTokenizer]:
    """A contrastive image-text model with random weights (global random state) and its tokenizer."""
    from transformers.models.clip.configuration_clip import CLIPConfig, CLIPTextConfig, CLIPVisionConfig
    from transformers.models.clip.modeling_clip import CLIPModel

    tokenizer = clip_tokenizer(words, tokens=sizes.tokens)
    text = CLIPTextConfig(
        **_tower(sizes, sizes.text_layers),
        vocab_size=len(tokenizer),
        max_position_embeddings=sizes.tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=sizes.width,
    )
    vision = CLIPVisionConfig(**_tower(sizes, sizes.vision_layers), **_image(sizes), projection_dim=sizes.width)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=sizes.width)
    return CLIPModel(config), tokenizer


def _tower(sizes: TransformerSizes, layers: int) -> dict[str, int]:
    return {
        "hidden_size": sizes.width,
        "intermediate_size": sizes.hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": sizes.heads,
    }


def _image(sizes: TransformerSizes) -> dict[str, int]:
    return {"image_size": sizes.pixels, "patch_size": sizes.patch}


def clip_tokenizer(words: Sequence[str], *, tokens: int) -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer, its merges learned until every word of ``words`` (a-z) is one token."""
    from transformers import CLIPTokenizer

    spelled = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = [*letters, *(letter + "</w>" for letter in letters)]
    merges = []
    while pairs := Counter(pair for s in spelled.values() for pair in pairwise(s)):
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        pieces.append("".join(merges[-1]))
        spelled = {word: _merge(s, merges[-1]) for word, s in spelled.items()}
    names = dict.fromkeys([*pieces, "<|startoftext|>", "<|endoftext|>"])
    vocabulary = {piece: i for i, piece in enumerate(names)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=tokens)


def _merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def save(folder: Path, model, tokenizer, *, pixels: int) -> None:
    """Write a model as float16 safetensors with its tokenizer and image processor settings."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": pixels, "width": pixels}
    CLIPImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder)
