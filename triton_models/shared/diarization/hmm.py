"""How many voices, and which window is whose: a hidden Markov model whose speakers are inferred by variational Bayes.

After F. Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx)", Computer Speech & Language 71 (2022),
simplified: speakers and windows have spherical Gaussians instead of a PLDA model. Speakers that the data does not ask
for lose their windows to others and vanish. The result depends on the start, so several starts are followed at once
and the one with the best evidence bound wins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triton_models.shared.errors import CancelledError

STAY = 0.85  # probability that the speaker is the same 0.3 s later
PRECISION = 80.0
"""Of a window's embedding about its speaker's mean. Lower than measured, because windows overlap: each counts as less
than half of one. From 75 to 90 the results are the same."""
SPREAD = 0.15  # variance of the speakers' means over that of windows, in each dimension
DIMENSIONS = 160  # dimensions that the evidence against one more speaker is counted over
ROUNDS = 40
ENOUGH = 1e-3  # gain of the bound below which a start has converged
STRETCH = 50  # windows whose order is modelled; longer segments are cut
ALONE = 0.05  # of the first guess, shared by all speakers
GONE = 1e-3  # windows below which a speaker has vanished

Floats = NDArray[np.float64]


class Solution(NamedTuple):
    """What one start led to."""

    evidence: float
    """The lower bound of the log evidence, up to a constant: larger is better."""
    shares: Floats
    """float[windows, speakers]: the probability that a window is a speaker's; speakers that vanished are left out."""


def infer(
    vectors: NDArray[np.float32],
    segments: NDArray[np.int64],
    trust: NDArray[np.float32],
    starts: Sequence[NDArray[np.int64]],
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Solution]:
    """Follows each start to its optimum, all of them at once.

    Args:
        vectors: float32[windows, size], embeddings in the order of time.
        segments: int[windows]: the stretch of speech that each window is in.
        trust: float32[windows], above 0 and up to 1: how much each window counts.
        starts: Guesses: a speaker's number for each window.
        cancelled: Asked in every round. Raises CancelledError when it says so.
    """
    places, there = _stretches(segments)
    centred = vectors.astype(np.float64) - np.average(vectors, axis=0, weights=trust)
    squares = (centred**2).sum(axis=1)
    shares, alive = _guesses(starts)
    weights = alive / alive.sum(axis=1, keepdims=True)
    bounds = np.full(len(starts), -np.inf)
    for _ in range(ROUNDS):
        if cancelled():
            raise CancelledError
        # Speakers: posterior variance (in units of a window's) and mean.
        counted = shares * trust[:, None]
        variances = SPREAD / (1 + SPREAD * counted.sum(axis=1))
        means = variances[..., None] * (counted.transpose(0, 2, 1) @ centred)
        lengths = (means**2).sum(axis=2)
        # Windows: expected log likelihood, then forward and backward through each stretch.
        fit = centred @ means.reshape(-1, means.shape[2]).T
        likelihoods = PRECISION * (fit.reshape(len(centred), *lengths.shape).transpose(1, 0, 2) - lengths[:, None] / 2)
        likelihoods -= DIMENSIONS / 2 * variances[:, None] + PRECISION / 2 * squares[:, None]
        likelihoods = np.where(alive[:, None], likelihoods * trust[:, None], -np.inf)
        shares, weights, evidence = _forward_backward(likelihoods, weights, places, there)
        ratios = variances / SPREAD
        cost = DIMENSIONS * (ratios - 1 - np.log(ratios)) + PRECISION / SPREAD * lengths
        latest = evidence - (cost * alive).sum(axis=1) / 2
        vanished = alive & (shares.sum(axis=1) < GONE)
        alive &= ~vanished
        shares, weights = shares * alive[:, None], weights * alive
        weights /= weights.sum(axis=1, keepdims=True)
        done = (latest - bounds < ENOUGH) & ~vanished.any(axis=1)
        bounds = latest
        if done.all():
            break
    return [Solution(float(bounds[i]), shares[i][:, alive[i]]) for i in range(len(starts))]


def _guesses(starts: Sequence[NDArray[np.int64]]) -> tuple[Floats, NDArray[np.bool_]]:
    """The first shares, float[starts, windows, most speakers], and which speakers each start has."""
    most = max(int(start.max()) + 1 for start in starts)
    shares, alive = np.zeros((len(starts), len(starts[0]), most)), np.zeros((len(starts), most), bool)
    for row, start in enumerate(starts):
        count = int(start.max()) + 1
        alive[row, :count] = True
        shares[row, :, :count] = ALONE / count
        shares[row, np.arange(len(start)), start] += 1 - ALONE
    return shares, alive


def _stretches(segments: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Windows by stretch and place in it, int[places, stretches], and where there is one; all run side by side."""
    edges = np.flatnonzero(np.diff(segments, prepend=segments[0] - 1, append=segments[-1] + 1))
    firsts = [np.arange(start, end, STRETCH) for start, end in itertools.pairwise(edges)]
    lasts = [np.append(first[1:], end) for first, end in zip(firsts, edges[1:], strict=True)]
    first, last = np.concatenate(firsts), np.concatenate(lasts)
    places = first + np.arange((last - first).max())[:, None]
    there = places < last
    return np.where(there, places, first), there


def _forward_backward(
    likelihoods: Floats, weights: Floats, places: NDArray[np.int64], there: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Shares, the speakers' weights that they suggest, and the log likelihood of everything, for each start.

    A speaker stays, or leaves and the next one is drawn by the weights; scaled as in L. R. Rabiner, "A tutorial on
    hidden Markov models", Proc. IEEE 77 (1989), section V.
    """
    best = likelihoods.max(axis=2)
    emitted = np.exp(likelihoods - best[..., None])[:, places]  # [starts, places, stretches, speakers]
    prior = weights[:, None]
    ahead, scales = np.empty_like(emitted), np.ones(emitted.shape[:3])
    state = np.broadcast_to(prior, emitted[:, 0].shape)
    for place in range(len(places)):
        drawn = state if place == 0 else STAY * state + (1 - STAY) * prior
        seen = drawn * emitted[:, place]
        scales[:, place] = np.where(there[place], seen.sum(axis=2), 1)
        state = ahead[:, place] = np.where(there[place][:, None], seen / scales[:, place][..., None], state)
    behind, entered = np.ones_like(emitted[:, 0]), np.zeros_like(weights)
    shares = np.zeros_like(likelihoods)
    for place in range(len(places) - 1, -1, -1):
        here = there[place]
        shares[:, places[place][here]] = (ahead[:, place] * behind)[:, here]
        seen = emitted[:, place] * behind / scales[:, place][..., None]
        change = prior * seen * (1 if place == 0 else 1 - STAY)
        entered += (change * here[:, None]).sum(axis=1)
        earlier = STAY * seen + (1 - STAY) * (prior * seen).sum(axis=2, keepdims=True)
        behind = np.where(here[:, None], earlier, behind)
    shares /= shares.sum(axis=2, keepdims=True)
    total = np.log(np.where(there, scales, 1)).sum(axis=(1, 2)) + best.sum(axis=1)
    return shares, entered / entered.sum(axis=1, keepdims=True), total
