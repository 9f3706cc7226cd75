"""Contrastive losses against closed forms and written-out sums."""

import math

import numpy as np
import pytest
import scipy.special
import torch

from brainflix.models.losses import ContrastiveSettings, contrastive_loss

PAPER = ContrastiveSettings(temperature=0.9, symmetric=False, positives="diagonal", centre_targets=False)


def with_(**changes) -> ContrastiveSettings:
    return ContrastiveSettings(**{**vars(PAPER), **changes})


def random_pairs(n: int = 7, width: int = 5):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(n, width, generator=generator, dtype=torch.float64)  # noqa: E731
    return draw(), draw(), torch.arange(n)


@pytest.mark.parametrize("temperature, floor", [(0.9, 3.693), (0.5, 2.84), (0.1, 0.0054), (0.07, 7.4e-5)])
def test_the_floor_of_a_perfect_embedding_of_120_orthogonal_captions_is_known(temperature, floor):
    perfect = torch.eye(120, dtype=torch.float64)
    loss = float(contrastive_loss(perfect, perfect, torch.arange(120), with_(temperature=temperature)))
    assert loss == pytest.approx(math.log(1 + 119 * math.exp(-1 / temperature)), rel=1e-9)
    assert loss == pytest.approx(floor, rel=0.02)


@pytest.mark.parametrize("temperature, floor", [(0.9, 4.24), (0.5, 3.80), (0.1, 0.59), (0.07, 0.09)])
def test_captions_that_all_look_alike_raise_the_floor(temperature, floor):
    # Unit vectors with cosine 0.5 between any two: sqrt(.5) of a common direction and of an own one.
    captions = torch.cat([torch.full((120, 1), 0.5**0.5), 0.5**0.5 * torch.eye(120)], dim=1).double()
    loss = float(contrastive_loss(captions, captions, torch.arange(120), with_(temperature=temperature)))
    assert loss == pytest.approx(floor, rel=0.05)


def test_the_papers_loss_is_its_equation_with_the_denominator_over_all_captions():
    brain, captions, stimuli = random_pairs()
    total = 0.0
    for i in range(7):
        cosine = [float(torch.cosine_similarity(brain[i], captions[j], dim=0)) / 0.9 for j in range(7)]
        total -= math.log(math.exp(cosine[i]) / sum(map(math.exp, cosine)))
    assert float(contrastive_loss(brain, captions, stimuli, PAPER)) == pytest.approx(total / 7)


def test_the_symmetric_loss_is_the_mean_of_both_directions():
    brain, captions, stimuli = random_pairs()
    ways = [contrastive_loss(a, b, stimuli, PAPER) for a, b in ((brain, captions), (captions, brain))]
    both = contrastive_loss(brain, captions, stimuli, with_(symmetric=True))
    torch.testing.assert_close(both, sum(ways) / 2)


def test_the_length_of_an_embedding_does_not_matter():
    brain, captions, stimuli = random_pairs()
    scaled = contrastive_loss(brain * 10, captions * 0.1, stimuli, PAPER)
    torch.testing.assert_close(scaled, contrastive_loss(brain, captions, stimuli, PAPER))


def test_repeats_of_a_stimulus_are_all_right_when_asked():
    # Two trials each of two stimuli, perfect embeddings: only the other stimulus is left to confuse.
    perfect = torch.eye(2, dtype=torch.float64).repeat_interleave(2, dim=0)
    stimuli = torch.tensor([0, 0, 1, 1])
    cold = with_(temperature=0.01, positives="stimulus")
    assert float(contrastive_loss(perfect, perfect, stimuli, cold)) == pytest.approx(math.log(2))
    gradient_at = perfect.clone().requires_grad_()
    contrastive_loss(gradient_at, perfect, stimuli, cold).backward()
    assert float(gradient_at.grad.abs().max()) < 1e-9  # a perfect embedding is a minimum


def test_without_repeats_the_two_notions_of_right_agree():
    brain, captions, stimuli = random_pairs()
    torch.testing.assert_close(
        contrastive_loss(brain, captions, stimuli, with_(positives="stimulus")),
        contrastive_loss(brain, captions, stimuli, PAPER),
    )


def reference(brain, captions, stimuli, scale) -> float:
    """Symmetric InfoNCE with several right answers, written out in numpy: for each row the mean log-probability of
    the captions of its stimulus, for each caption that of the responses to it, and the mean of both."""
    brain, captions, stimuli = (x.numpy() for x in (brain, captions, stimuli))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (brain, captions)]
    cosines, total = scale * unit[0] @ unit[1].T, 0.0
    for scores in (cosines, cosines.T):
        for i, row in enumerate(scores):
            right = np.flatnonzero(stimuli == stimuli[i])
            total -= np.mean([row[j] - scipy.special.logsumexp(row) for j in right])
    return total / (2 * len(stimuli))


@pytest.mark.parametrize("stimuli", [[0, 1, 2, 3, 4, 5, 6], [0, 1, 0, 2, 2, 2, 1], [3, 3, 3, 3, 3, 3, 3]])
@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_symmetric_multi_positive_and_scaled_is_what_it_says_written_out(stimuli, scale):
    brain, captions, _ = random_pairs()
    stimuli = torch.tensor(stimuli)
    ours = with_(symmetric=True, positives="stimulus")
    found = contrastive_loss(brain, captions, stimuli, ours, torch.tensor(scale, dtype=torch.float64))
    assert float(found) == pytest.approx(reference(brain, captions, stimuli, scale), rel=1e-9)


def test_its_gradient_is_the_finite_difference():
    brain, captions, _ = random_pairs()
    stimuli, ours = torch.tensor([0, 1, 0, 2, 2, 2, 1]), with_(symmetric=True, positives="stimulus")
    assert torch.autograd.gradcheck(
        lambda b, s: contrastive_loss(b, captions, stimuli, ours, s),
        (brain.requires_grad_(), torch.tensor(5.0, dtype=torch.float64, requires_grad=True)),
    )
