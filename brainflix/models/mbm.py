"""Masked brain modelling: a masked autoencoder over patches of cortical vertices.

Paper section 4, stage 1, with the architecture of MinD-Vis (``sc_mbm/mae_for_fmri.py``), which the
authors' released code uses unchanged. A response (vertices,) becomes runs of ``patch`` vertices;
three quarters of them are hidden, a transformer encodes the rest, and a smaller one predicts the
hidden patches. Loss: mean squared error over hidden patches only.

Three things are done differently from the released code, because there they are slips: an already
divisible length gets no extra patch; the zeros that fill the last patch never count in the loss
(the released code wraps vertices around and scores them); and :meth:`Encoder.forward` keeps the
order of the tokens when nothing is hidden (the released code permutes them). A model made by the
released code (:mod:`brainflix.models.mindvis`) keeps its padding, which it was trained on: its
``wrapped_patches`` say how many patches the vertices are wrapped around to fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainflix import crew
from brainflix.models.settings import MbmSettings


def sincos_positions(length: int, width: int) -> Tensor:
    """Fixed positions (length + 1, width): a row of zeros for the class token, then [sin | cos]."""
    frequencies = 10000.0 ** (-torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies[None]
    rows = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), rows]).float()


class Block(nn.Module):
    """Pre-norm transformer block, (batch, tokens, width) to the same."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, hidden)
        self.mlp_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.attention_norm(x))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))

    def _attend(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.attention_out(mixed.transpose(1, 2).reshape(batch, tokens, width))


def _gather(x: Tensor, index: Tensor) -> Tensor:
    """Tokens ``index`` (batch, k) of x (batch, tokens, width)."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


class Encoder(nn.Module):
    """Responses (batch, vertices) to tokens (batch, 1 + patches, width), class token first.

    Args:
        wrapped_patches: patches that the vertices fill by starting over, as MinD-Vis does; None: as many as hold
            the vertices, the last filled with zeros.
    """

    def __init__(self, settings: MbmSettings, *, vertices: int, wrapped_patches: int | None = None) -> None:
        super().__init__()
        self.settings, self.vertices, self.wraps = settings, vertices, wrapped_patches is not None
        self.patches = wrapped_patches or -(-vertices // settings.patch)
        self.embed = nn.Linear(settings.patch, settings.width)
        self.class_token = nn.Parameter(torch.zeros(1, 1, settings.width))
        positions = sincos_positions(self.patches, settings.width)
        self.register_buffer("positions", positions, persistent=False)
        sizes = (settings.width, settings.heads, settings.mlp_ratio)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(settings.width)

    def patchify(self, x: Tensor) -> Tensor:
        """(batch, vertices) to (batch, patches, patch); zeros, or the first vertices anew, fill the last patch."""
        if x.shape[1] != self.vertices:
            raise ValueError(f"expected {self.vertices} vertices, found {x.shape[1]}")
        lacking = self.patches * self.settings.patch - self.vertices
        filled = torch.cat([x, x[:, :lacking]], dim=1) if self.wraps else F.pad(x, (0, lacking))
        return filled.view(len(x), self.patches, self.settings.patch)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode all patches in their order, or only patches ``visible`` (batch, k)."""
        patches = self.patchify(x)
        positions = self.positions[1:].expand(len(x), -1, -1)
        if visible is not None:  # before embedding: hidden patches cost nothing
            patches, positions = _gather(patches, visible), _gather(positions, visible)
        first = (self.class_token + self.positions[:1]).expand(len(x), -1, -1)
        tokens = torch.cat([first, self.embed(patches) + positions], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def embedding(self, x: Tensor) -> Tensor:
        """The one vector (batch, width) that stands for a response."""
        tokens = self(x)
        return tokens[:, 0] if self.settings.pool == "class" else tokens[:, 1:].mean(dim=1)


class Decoder(nn.Module):
    """Tokens of visible patches to the values (batch, hidden, patch) of the hidden ones."""

    def __init__(self, settings: MbmSettings, *, patches: int) -> None:
        super().__init__()
        width = settings.decoder_width
        self.embed = nn.Linear(settings.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("positions", sincos_positions(patches, width), persistent=False)
        sizes = (width, settings.decoder_heads, settings.mlp_ratio)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(settings.decoder_depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, settings.patch)

    def forward(self, tokens: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        # Attention does not care about the order of tokens that carry their position, so the
        # hidden ones are appended in place of being sorted back among the visible ones.
        positions = self.positions[1:].expand(len(tokens), -1, -1)
        seen = self.embed(tokens)
        seen = torch.cat([seen[:, :1], seen[:, 1:] + _gather(positions, visible)], dim=1)
        x = torch.cat([seen, self.mask_token + _gather(positions, hidden)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, -hidden.shape[1] :]))


class MaskedBrainModel(nn.Module):
    """Encoder, decoder and the loss of masked brain modelling; arguments as of :class:`Encoder`."""

    def __init__(self, settings: MbmSettings, *, vertices: int, wrapped_patches: int | None = None) -> None:
        super().__init__()
        self.encoder = Encoder(settings, vertices=vertices, wrapped_patches=wrapped_patches)
        self.decoder = Decoder(settings, patches=self.encoder.patches)
        filled = self.encoder.patches * settings.patch
        # MinD-Vis scores what is wrapped around like any other value.
        real = torch.arange(filled) < (filled if self.encoder.wraps else vertices)
        self.register_buffer("real", real.view(-1, settings.patch).float(), persistent=False)

    def forward(self, x: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Predict the patches ``hidden`` (batch, h) from ``visible``: (batch, h, patch)."""
        return self.decoder(self.encoder(x, visible), visible, hidden)

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Mean over hidden patches of the mean squared error over a patch's real vertices."""
        visible, hidden = split_patches(
            len(x), self.encoder.patches, self.encoder.settings.mask_ratio, generator, x.device
        )
        predicted = self(x, visible, hidden)
        wanted = _gather(self.encoder.patchify(x), hidden)
        real = self.real[hidden]
        errors = ((predicted - wanted).square() * real).sum(dim=2) / real.sum(dim=2)
        return crew.gather(errors).mean()


def split_patches(
    batch: int, patches: int, mask_ratio: float, generator: torch.Generator, device: Any
) -> tuple[Tensor, Tensor]:
    """Indices (batch, k) of visible and (batch, patches - k) of hidden patches, drawn per sample.

    The noise is drawn on the CPU so that the same seed hides the same patches on every device.
    """
    order = crew.rand(batch, patches, generator=generator).argsort(dim=1).to(device)
    visible = max(1, int(patches * (1 - mask_ratio)))
    return order[:, :visible], order[:, visible:]


def initialise(model: nn.Module, *, seed: int) -> None:
    """MinD-Vis's initial weights: Xavier for linear layers, N(0, 0.02) for patches and tokens."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("class_token", "mask_token")) or name == "encoder.embed.weight":
            nn.init.normal_(parameter, std=0.02, generator=generator)
        elif parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def load_encoder(tensors: Mapping[str, Any], header: Mapping[str, Any]) -> Encoder:
    """The encoder of a weights file: arrays ``encoder.*``; ``model`` and ``vertices`` in the header."""
    encoder = Encoder(**_sizes(header))
    arrays = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    encoder.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})
    return encoder.eval()


def load_model(tensors: Mapping[str, Any], header: Mapping[str, Any]) -> MaskedBrainModel:
    """Encoder and decoder of a weights file, to go on training: arrays ``encoder.*`` and ``decoder.*``."""
    model = MaskedBrainModel(**_sizes(header))
    model.load_state_dict({k: torch.as_tensor(v) for k, v in tensors.items()})
    return model


def _sizes(header: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is made with; only a published one states ``wrapped_patches``."""
    settings, wrapped = MbmSettings(**header["model"]), header.get("wrapped_patches")
    return {"settings": settings, "vertices": header["vertices"], "wrapped_patches": wrapped}
