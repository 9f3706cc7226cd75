"""Contrastive losses between brain embeddings and caption embeddings.

The paper (section 4) prints, for a batch of N pairs of a brain embedding f and a caption embedding c,

    L = - sum_i log( exp(f_i.c_i / tau) / sum_j exp(f_j.c_j / tau) )

Read literally the denominator holds matching pairs only, which is not contrastive; we take it for a
slip and use f_i.c_j, as the text around it describes. The dot product is a cosine (otherwise tau
means nothing), the sum over i is a mean (as in CLIP), and the paper's loss is one-way: a brain
embedding chooses among captions, never the reverse. With tau = 0.9 even a perfect embedding of
orthogonal captions leaves log(1 + (N - 1) exp(-1 / tau)) nats: 3.693 at N = 120.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from brainflix import crew
from brainflix.models.alignment_settings import ContrastiveSettings


def contrastive_loss(
    brain: Tensor, captions: Tensor, stimuli: Tensor, settings: ContrastiveSettings, scale: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy of choosing the right caption; a scalar, in nats.

    Args:
        brain: (batch, width) embeddings of responses.
        captions: (batch, width) embeddings of the captions of the same rows.
        stimuli: (batch,) integer identity of each row's stimulus.
        scale: () multiplies the cosines in place of 1 / temperature.
    """
    brain, captions, stimuli = (crew.gather(rows) for rows in (brain, captions, stimuli))
    cosines = F.normalize(brain, dim=1) @ F.normalize(captions, dim=1).T
    logits = cosines / settings.temperature if scale is None else cosines * scale
    if settings.positives == "stimulus":
        same = (stimuli[:, None] == stimuli[None]).to(logits.dtype)
    else:
        same = torch.eye(len(logits), dtype=logits.dtype, device=logits.device)
    right = same / same.sum(dim=1, keepdim=True)  # symmetric relation: also right for the columns
    loss = F.cross_entropy(logits, right)
    return (loss + F.cross_entropy(logits.T, right)) / 2 if settings.symmetric else loss
