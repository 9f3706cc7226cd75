"""The metrics, as pure functions on arrays.

Pixels (section 5.1 of the paper): SSIM as the peers call it, skimage's default with a uniform 7x7 window.
Meaning: N-way top-k classification. The peers draw N-1 distractor classes 100 times; the expectation over
all draws has a closed form (hypergeometric), so nothing is sampled here. Two rules are in use:

    top1   a trial succeeds when the ground truth's single best class outranks the draw (MinD-Vis)
    any3   ... when any of the ground truth's three best classes does (MinD-Video, Brain Netflix's code),
           whose chance is 3 / (N + 2): .75 for 2-way, .058 for 50-way

Vectors: mean squared error and correlation of flattened targets, and retrieval among the test clips.
``pairwise_*`` score every prediction against every truth, which is what chance is made of.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float, Int, Integer, Shaped, UInt8
from scipy.special import gammaln

RULES = {"top1": 1, "any3": 3}
"""How many of the ground truth's best classes share a draw, by rule."""

_WINDOW = 7
_WINDOW_AREA = _WINDOW**2
_FEATURES_AT_ONCE = 8192


def ssim(
    predicted: UInt8[np.ndarray, " frames rows columns 3"], true: UInt8[np.ndarray, " frames rows columns 3"]
) -> float:
    """Structural similarity of two clips, averaged over frames and channels.

    Equals ``skimage.metrics.structural_similarity(win_size=7, data_range=255, channel_axis=-1)`` averaged
    over frames, to rounding: window sums are exact integers. The two variances only occur as a sum, so four
    box filters do.
    """
    if predicted.shape != true.shape or predicted.dtype != np.uint8 or true.dtype != np.uint8:
        raise ValueError(f"expected two uint8 clips of one shape, found {predicted.shape} and {true.shape}")
    if min(predicted.shape[1:3]) < _WINDOW:
        raise ValueError(f"frames of {predicted.shape[1:3]} are smaller than the window of {_WINDOW}")
    return float(np.mean([_ssim_frame(x, y) for x, y in zip(predicted, true, strict=True)]))


def _ssim_frame(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float32), y.astype(np.float32)
    sum_x, sum_y = _window_sum(x), _window_sum(y)
    product, squares = sum_x * sum_y, sum_x * sum_x + sum_y * sum_y
    covariance = _WINDOW_AREA * _window_sum(x * y) - product
    variances = _WINDOW_AREA * _window_sum(x * x + y * y) - squares
    c1 = (0.01 * 255) ** 2 * _WINDOW_AREA**2
    c2 = (0.03 * 255) ** 2 * _WINDOW_AREA * (_WINDOW_AREA - 1)  # sample covariance: n - 1
    return float(np.mean((2.0 * product + c1) * (2.0 * covariance + c2) / ((squares + c1) * (variances + c2))))


def _window_sum(image: np.ndarray) -> np.ndarray:
    """Exact: sums of squares of two 8-bit images over 49 pixels stay below 2^24, times 49 below 2^31."""
    edge = _WINDOW // 2
    sums = cv2.boxFilter(image, -1, (_WINDOW, _WINDOW), normalize=False)
    return sums[edge:-edge, edge:-edge].astype(np.int32)


def outranking(scores: Float[np.ndarray, " *items classes"]) -> Integer[np.ndarray, " *items classes"]:
    """For every class, how many classes score strictly higher (ties favour the class asked about)."""
    flat = scores.reshape(-1, scores.shape[-1])
    ascending = np.sort(flat, axis=1)
    not_higher = [np.searchsorted(a, s, side="right") for a, s in zip(ascending, flat, strict=True)]
    return flat.shape[1] - np.asarray(not_higher).reshape(scores.shape)


def best_classes(scores: Float[np.ndarray, " *items classes"], count: int) -> Int[np.ndarray, " *items count"]:
    """The ``count`` best classes, best first; among equals the lower class number wins."""
    return np.argsort(-scores, axis=-1, kind="stable")[..., :count]


def n_way_success(
    higher: Integer[np.ndarray, " *items"], *, classes: int, truths: int, ways: int, top: int = 1
) -> Float[np.ndarray, " *items"]:
    """Probability that a ground-truth class is among the ``top`` of itself and ``ways`` - 1 drawn classes.

    With M = classes - truths candidates of which a = ``higher`` outrank the best ground-truth class, and
    n = ways - 1 drawn without replacement,

        P = sum_{j < top} C(a, j) C(M - a, n - j) / C(M, n).
    """
    candidates, drawn = classes - truths, ways - 1
    if not 1 <= drawn <= candidates:
        raise ValueError(f"{ways}-way needs 1 to {candidates} distractors among {classes} classes")
    higher = np.asarray(higher, dtype=np.float64)
    total = np.zeros(higher.shape)
    for j in range(min(top, drawn + 1)):
        ways_to_fail = _log_binomial(higher, j) + _log_binomial(candidates - higher, drawn - j)
        total += np.exp(ways_to_fail - _log_binomial(np.float64(candidates), drawn))
    return np.minimum(total, 1.0)


def _log_binomial(n: np.ndarray | np.float64, k: int) -> np.ndarray:
    """log C(n, k); minus infinity where k > n."""
    possible = n >= k
    n = np.where(possible, n, k)
    return np.where(possible, gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), -np.inf)


def n_way(
    predicted: Float[np.ndarray, " clips frames classes"],
    true: Float[np.ndarray, " clips frames classes"],
    partners: Integer[np.ndarray, " pairings clips"],
    *,
    ways: int,
    rule: str,
) -> Float[np.ndarray, " pairings clips"]:
    """N-way top-1 of each clip against the ground truth of its partner, frame by frame, mean over frames.

    Args:
        predicted, true: class scores (any monotone of the probability) of frames at equal relative times.
        partners: row k pairs prediction i with truth ``partners[k, i]``; the identity gives the score.
    """
    truths = RULES[rule]
    classes = predicted.shape[-1]
    higher, best = outranking(predicted), best_classes(true, truths)
    success = n_way_success(np.arange(classes - truths + 1), classes=classes, truths=truths, ways=ways)
    out = np.empty(partners.shape)
    for k, partner in enumerate(partners):
        out[k] = success[np.take_along_axis(higher, best[partner], axis=-1).min(axis=-1)].mean(axis=-1)
    return out


def mean_squared_error(
    predicted: Shaped[np.ndarray, " clips *shape"], true: Shaped[np.ndarray, " clips *shape"]
) -> Float[np.ndarray, " clips"]:
    """Mean over all elements of (predicted - true)^2, clip by clip."""
    difference = _flat(predicted).astype(np.float64) - _flat(true)
    return np.mean(difference**2, axis=1)


def correlation(
    predicted: Shaped[np.ndarray, " clips *shape"], true: Shaped[np.ndarray, " clips *shape"]
) -> Float[np.ndarray, " clips"]:
    """Pearson correlation over all elements, clip by clip; 0 where either is constant.

    The mean target alone correlates with most targets, so compare it with the ``mean`` variant.
    """
    x, y = _row_centred(_flat(predicted)), _row_centred(_flat(true))
    return _ratio(np.sum(x * y, axis=1), np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))


def pairwise_correlation(
    predicted: Shaped[np.ndarray, " clips *shape"], true: Shaped[np.ndarray, " gallery *shape"]
) -> Float[np.ndarray, " clips gallery"]:
    """Pearson correlation of every prediction with every truth; 0 where either is constant."""
    x, y = _flat(predicted), _flat(true)
    product, size_x, size_y = _products(x, y, x.mean(1, dtype=np.float64), y.mean(1, dtype=np.float64))
    return _ratio(product, np.sqrt(np.outer(size_x, size_y)))


def pairwise_distances(
    predicted: Shaped[np.ndarray, " clips *shape"],
    true: Shaped[np.ndarray, " gallery *shape"],
    *,
    centre: Shaped[np.ndarray, " *shape"],
) -> tuple[Float[np.ndarray, " clips gallery"], Float[np.ndarray, " clips gallery"]]:
    """Mean squared error and cosine similarity, after subtracting ``centre``, of every pair.

    ``centre`` is the mean of the *training* targets. A prediction equal to it knows nothing about its clip
    and gets similarity 0 to every truth.
    """
    x, y = _flat(predicted), _flat(true)
    product, size_x, size_y = _products(x, y, 0.0, 0.0, np.asarray(centre).reshape(-1))
    squared = np.maximum(size_x[:, None] + size_y[None] - 2 * product, 0) / x.shape[1]
    knows_nothing = size_x <= 1e-12 * max(size_y.max(), np.finfo(float).tiny)
    cosine = _ratio(product, np.sqrt(np.outer(size_x, size_y)))
    return squared, np.where(knows_nothing[:, None], 0.0, cosine)


def retrieval(
    similarity: Float[np.ndarray, " clips gallery"], truth: Integer[np.ndarray, " clips"], *, top: int
) -> Float[np.ndarray, " clips"]:
    """Is the true clip among the ``top`` most similar of the gallery? Ties count by their expectation."""
    better, equal = _compared(similarity, truth)
    return np.clip((top - better) / equal, 0.0, 1.0)


def retrieval_rank(
    similarity: Float[np.ndarray, " clips gallery"], truth: Integer[np.ndarray, " clips"]
) -> Float[np.ndarray, " clips"]:
    """Rank of the true clip in the gallery, 1 is best; ties get their mean rank."""
    better, equal = _compared(similarity, truth)
    return better + (equal + 1) / 2


def _compared(similarity: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = np.take_along_axis(similarity, np.asarray(truth)[:, None], axis=1)
    return np.sum(similarity > own, axis=1), np.sum(similarity == own, axis=1)


def _products(
    x: np.ndarray,
    y: np.ndarray,
    x_mean: np.ndarray | float,
    y_mean: np.ndarray | float,
    centre: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x y', |x|^2 and |y|^2 in 64 bits, a block of features at a time (targets can have 173,568)."""
    product, size_x, size_y = np.zeros((len(x), len(y))), np.zeros(len(x)), np.zeros(len(y))
    for part in _blocks(x.shape[1]):
        middle = 0.0 if centre is None else centre[part].astype(np.float64)
        a = x[:, part].astype(np.float64) - middle - np.reshape(x_mean, (-1, 1))
        b = y[:, part].astype(np.float64) - middle - np.reshape(y_mean, (-1, 1))
        product += a @ b.T
        size_x += np.einsum("ij,ij->i", a, a)
        size_y += np.einsum("ij,ij->i", b, b)
    return product, size_x, size_y


def _blocks(size: int) -> Iterator[slice]:
    for start in range(0, size, _FEATURES_AT_ONCE):
        yield slice(start, start + _FEATURES_AT_ONCE)


def _flat(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).reshape(len(values), -1)


def _row_centred(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return values - values.mean(axis=1, keepdims=True)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
