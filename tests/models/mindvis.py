"""MinD-Vis's masked autoencoder on its own: what a checkpoint of it holds, and what it computes.

Written from the description of the published model, in numpy and float64, a response at a time; knows nothing of ours.
"""

import sys
import types
from collections import OrderedDict
from unittest import mock

import numpy as np
import torch
from scipy.special import erf, softmax

# What the config of a checkpoint says; its class has no setting for the decoder's depth.
CONFIG = {
    "lr": 2.5e-4, "weight_decay": 0.05, "num_epoch": 500, "clip_grad": 0.8, "mask_ratio": 0.75, "patch_size": 4,
    "embed_dim": 16, "decoder_embed_dim": 8, "depth": 2, "num_heads": 4, "decoder_num_heads": 2, "mlp_ratio": 1.0,
    "roi": "VC", "num_sub_limit": None, "use_nature_img_loss": False, "focus_range": None, "focus_rate": 0.6,
}  # fmt: skip
DECODER_DEPTH = 3


def positions(length, width):
    """Sines, then cosines, of falling frequency; zeros for the class token."""
    angles = np.outer(np.arange(length), [10000 ** (-k / (width // 2)) for k in range(width // 2)])
    return np.vstack([np.zeros(width), np.hstack([np.sin(angles), np.cos(angles)])])


def state(patches, config=CONFIG, seed=0):
    """Random weights in the layout of a checkpoint: OrderedDict of float32 tensors."""
    rng, made = np.random.default_rng(seed), OrderedDict()

    def put(name, *shape, centre=0.0):
        made[name] = torch.from_numpy((centre + 0.3 * rng.standard_normal(shape)).astype(np.float32))

    def linear(name, inputs, outputs):
        put(f"{name}.weight", outputs, inputs)
        put(f"{name}.bias", outputs)

    def norm(name, width):
        put(f"{name}.weight", width, centre=1.0)
        put(f"{name}.bias", width)

    def table(name, width):
        made[name] = torch.from_numpy(positions(patches, width)[None].astype(np.float32))

    def blocks(name, width, depth):
        hidden = int(width * config["mlp_ratio"])
        for i in range(depth):
            norm(f"{name}.{i}.norm1", width)
            linear(f"{name}.{i}.attn.qkv", width, 3 * width)
            linear(f"{name}.{i}.attn.proj", width, width)
            norm(f"{name}.{i}.norm2", width)
            linear(f"{name}.{i}.mlp.fc1", width, hidden)
            linear(f"{name}.{i}.mlp.fc2", hidden, width)

    wide, narrow = config["embed_dim"], config["decoder_embed_dim"]
    put("cls_token", 1, 1, wide)
    table("pos_embed", wide)
    put("mask_token", 1, 1, narrow)
    table("decoder_pos_embed", narrow)
    put("patch_embed.proj.weight", wide, 1, config["patch_size"])
    put("patch_embed.proj.bias", wide)
    blocks("blocks", wide, config["depth"])
    norm("norm", wide)
    linear("decoder_embed", wide, narrow)
    blocks("decoder_blocks", narrow, DECODER_DEPTH)
    norm("decoder_norm", narrow)
    linear("decoder_pred", narrow, config["patch_size"])
    return made


def save(path, weights, config=CONFIG, **more):
    """Write a checkpoint as ``save_model`` does: weights, optimiser, scaler, and the settings as a pickled object."""
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2, 3))], lr=1e-3)
    optimiser.param_groups[0]["params"][0].grad = torch.ones(2, 3)
    optimiser.step()
    settings = type("Config_MBM_fMRI", (), {"__module__": "config"})
    module = types.ModuleType("config")
    module.Config_MBM_fMRI = settings
    made = settings()
    made.__dict__.update(config)
    content = {
        "model": weights, "optimizer": optimiser.state_dict(), "epoch": 499,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 0}, "config": made,
    }  # fmt: skip
    with mock.patch.dict(sys.modules, config=module):
        torch.save({**content, **more}, path)


def padded(responses, patch):
    """Filled to a multiple of ``patch`` by starting over; by a whole patch where nothing is lacking."""
    return np.pad(responses, ((0, 0), (0, patch - responses.shape[1] % patch)), "wrap")


class Model:
    """The forward pass, of one padded response at a time."""

    def __init__(self, weights, config=CONFIG):
        self.w, self.config = {name: array.double().numpy() for name, array in weights.items()}, config

    def tokens(self, values, visible):
        """Of the class token and patches ``visible``, in that order (1 + k, width)."""
        w, patches = self.w, values.reshape(-1, self.config["patch_size"])
        x = patches @ w["patch_embed.proj.weight"][:, 0].T + w["patch_embed.proj.bias"] + w["pos_embed"][0, 1:]
        x = np.vstack([w["cls_token"][0] + w["pos_embed"][0, :1], x[visible]])
        return self._stack(x, "blocks", self.config["depth"], self.config["num_heads"], "norm")

    def predictions(self, values, visible):
        """Of all patches in their order (patches, patch)."""
        x = self._linear(self.tokens(values, visible), "decoder_embed")
        whole = np.repeat(self.w["mask_token"][0], values.size // self.config["patch_size"], axis=0)
        whole[visible] = x[1:]
        x = np.vstack([x[:1], whole]) + self.w["decoder_pos_embed"][0]
        heads = self.config["decoder_num_heads"]
        return self._linear(self._stack(x, "decoder_blocks", DECODER_DEPTH, heads, "decoder_norm"), "decoder_pred")[1:]

    def _linear(self, x, name):
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def _norm(self, x, name):
        centred = x - x.mean(axis=1, keepdims=True)
        scaled = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + 1e-5)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def _stack(self, x, name, depth, heads, norm):
        for i in range(depth):
            x = x + self._attention(self._norm(x, f"{name}.{i}.norm1"), f"{name}.{i}.attn", heads)
            hidden = self._linear(self._norm(x, f"{name}.{i}.norm2"), f"{name}.{i}.mlp.fc1")
            x = x + self._linear(hidden * (1 + erf(hidden / np.sqrt(2))) / 2, f"{name}.{i}.mlp.fc2")
        return self._norm(x, norm)

    def _attention(self, x, name, heads):
        size = x.shape[1] // heads
        queries, keys, values = np.split(self._linear(x, f"{name}.qkv"), 3, axis=1)
        mixed = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            mixed.append(softmax(queries[:, own] @ keys[:, own].T / np.sqrt(size), axis=1) @ values[:, own])
        return self._linear(np.hstack(mixed), f"{name}.proj")
