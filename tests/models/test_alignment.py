"""Adapters, projector and scale against matrices written out, closed forms and finite differences."""

import math

import numpy as np
import pytest
import torch

from brainflix.errors import InputError
from brainflix.models.alignment import Alignment, SubjectAdapter, load_adapter
from brainflix.models.alignment_settings import AlignSettings, ContrastiveSettings, HeldOutSettings
from brainflix.models.losses import contrastive_loss
from brainflix.models.mbm import Encoder
from brainflix.models.settings import MbmSettings, TrainingSettings

VERTICES, WIDTH, TEXT = 20, 8, 6
MODEL = MbmSettings(
    patch=4, width=WIDTH, depth=1, heads=2, mlp_ratio=1.0, decoder_width=8, decoder_depth=1, decoder_heads=2,
    mask_ratio=0.5, pool="patches",
)  # fmt: skip
TRAINING = TrainingSettings(
    epochs=1, batch=4, accumulate=1, learning_rate=1e-3, warmup_epochs=0, weight_decay=0.05, betas=(0.9, 0.95),
    clip_norm=None, precision="float32", compile=False, blocks=None,
)  # fmt: skip
PLAIN = AlignSettings(
    loss=ContrastiveSettings(temperature=0.5, symmetric=False, positives="diagonal", centre_targets=False),
    largest_scale=None, sample_captions=False, projector_hidden=None, adapter_rank=None, held_out=None,
    mbm_weight=0.0, training=TRAINING,
)  # fmt: skip
SUBJECTS = [["bmd", "01"], ["bmd", "02"], ["cc2017", "01"]]


def with_(**changes) -> AlignSettings:
    return AlignSettings(**{**vars(PLAIN), **changes})


def draw(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoder() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Encoder(MODEL, vertices=VERTICES)


def model(settings=PLAIN, text_width=TEXT) -> Alignment:
    return Alignment(encoder(), settings, text_width=text_width, subjects=SUBJECTS, seed=1)


def trained_adapter(rank=2) -> SubjectAdapter:
    adapter = SubjectAdapter(SUBJECTS, vertices=VERTICES, rank=rank)
    with torch.no_grad():
        adapter.down.copy_(draw(VERTICES, 3 * rank, seed=1))
        adapter.up.copy_(draw(3 * rank, VERTICES, seed=2))
    return adapter


def matrices(adapter: SubjectAdapter, rank=2) -> list[np.ndarray]:
    """Each subject's correction as one matrix (vertices, vertices), in float64."""
    down, up = adapter.down.detach().double().numpy(), adapter.up.detach().double().numpy()
    return [down[:, s * rank : (s + 1) * rank] @ up[s * rank : (s + 1) * rank] for s in range(len(SUBJECTS))]


def test_a_new_adapter_changes_no_bit():
    x = draw(7, VERTICES)
    adapted = model(with_(adapter_rank=2))
    assert adapted.adapter.down.abs().min() > 0  # it can learn
    weights = adapted.adapter.weights([SUBJECTS[i % 3] for i in range(6)] + [["bmd", "99"]])
    assert torch.equal(adapted.adapter(x, weights), x)
    assert torch.equal(adapted(x, weights), model()(x, None))


def test_a_response_goes_through_the_adapter_of_its_subject():
    adapter, x = trained_adapter(), draw(3, VERTICES)
    order = [2, 0, 1]
    found = adapter(x, adapter.weights([SUBJECTS[s] for s in order])).detach()
    for row, s in enumerate(order):
        wanted = x[row].double().numpy() @ (np.eye(VERTICES) + matrices(adapter)[s])
        np.testing.assert_allclose(found[row].numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_an_unknown_subject_gets_the_mean_of_the_adapters():
    adapter, x = trained_adapter(), draw(2, VERTICES)
    found = adapter(x, adapter.weights([["bmd", "03"], ["cc2017", "02"]])).detach()
    wanted = x.double().numpy() @ (np.eye(VERTICES) + sum(matrices(adapter)) / 3)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_the_same_name_in_another_dataset_is_another_subject():
    weights = trained_adapter().weights([["bmd", "01"], ["cc2017", "01"], ["had", "01"]])
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0, 0], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]]))


def test_a_batch_of_one_subject_moves_nobody_elses_adapter():
    adapter = trained_adapter()
    adapter(draw(4, VERTICES), adapter.weights([SUBJECTS[1]] * 4)).square().sum().backward()
    for gradient in (adapter.down.grad.T, adapter.up.grad):
        own = torch.zeros(6, dtype=torch.bool)
        own[2:4] = True
        assert gradient[own].abs().min() > 0 and not gradient[~own].any()


def test_an_adapter_is_read_back_from_its_file():
    adapter, x = trained_adapter(), draw(4, VERTICES)
    tensors = {f"adapter.{name}": value.numpy() for name, value in adapter.state_dict().items()}
    back = load_adapter(tensors, {"adapters": SUBJECTS})
    weights = adapter.weights([*SUBJECTS, ["x", "y"]])
    assert torch.equal(back(x, weights), adapter(x, weights))
    assert load_adapter({}, {"kind": "encoder"}) is None


def test_parameters_of_an_adapter_at_the_size_of_the_paper():
    with torch.device("meta"):
        adapter = SubjectAdapter(SUBJECTS, vertices=13_156, rank=16)
    assert sum(p.numel() for p in adapter.parameters()) == 3 * 26_312 * 16


def test_a_projector_is_three_times_norm_gelu_linear():
    projector = model(with_(projector_hidden=5)).projector
    x, expected = draw(3, WIDTH), draw(3, WIDTH).double()
    for layer in range(3):
        linear = projector[3 * layer + 2]
        expected = (expected - expected.mean(1, keepdim=True)) / (
            expected.var(1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        expected = expected * (1 + torch.erf(expected / 2**0.5)) / 2
        expected = expected @ linear.weight.T.double() + linear.bias.double()
    torch.testing.assert_close(projector(x).double(), expected, rtol=1e-4, atol=1e-5)
    assert [projector[i].weight.shape for i in (2, 5, 8)] == [(5, WIDTH), (5, 5), (TEXT, 5)]


def test_without_a_projector_there_is_a_linear_layer_only_where_widths_differ():
    assert isinstance(model().projector, torch.nn.Linear)
    same = model(text_width=WIDTH)
    assert same.projector is None
    x = draw(3, VERTICES)
    assert torch.equal(same(x, None), same.encoder.embedding(x))


def test_the_scale_starts_as_one_over_the_temperature_and_is_cut_at_its_largest():
    assert model().scale() is None
    learned = model(with_(largest_scale=100.0))
    assert learned.scale().item() == pytest.approx(2.0)
    with torch.no_grad():
        learned.log_scale.fill_(math.log(500))
    assert learned.scale().item() == pytest.approx(100.0)
    loss = -learned.scale()
    loss.backward()
    assert float(learned.log_scale.grad) == pytest.approx(-100.0)  # at the bound it can still be told to fall


def test_the_gradient_of_the_scale_is_the_finite_difference_of_the_loss():
    brain, captions, stimuli = draw(6, 4, seed=1).double(), draw(6, 4, seed=2).double(), torch.arange(6)

    def loss(log_scale):
        return contrastive_loss(brain, captions, stimuli, PLAIN.loss, log_scale.exp())

    at = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    loss(at).backward()
    step = 1e-5
    difference = (loss(at.detach() + step) - loss(at.detach() - step)) / (2 * step)
    assert float(at.grad) == pytest.approx(float(difference), rel=1e-6)
    fixed = contrastive_loss(brain, captions, stimuli, PLAIN.loss)
    assert float(loss(torch.tensor(2.0, dtype=torch.float64).log())) == pytest.approx(float(fixed), rel=1e-12)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"largest_scale": 1.5}, "largest_scale must be at least 2, where it starts; found 1.5"),
        ({"projector_hidden": 0}, "projector_hidden must be at least 1"),
        ({"adapter_rank": 0}, "adapter_rank must be at least 1"),
        ({"mbm_weight": -1.0}, "mbm_weight must not be negative"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        with_(**changes)


@pytest.mark.parametrize("share, patience", [(0.0, 1), (1.0, 1), (0.1, 0)])
def test_nothing_and_everything_cannot_be_held_out(share, patience):
    with pytest.raises(InputError, match="held_out"):
        HeldOutSettings(share=share, patience=patience)
