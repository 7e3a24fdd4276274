"""The tree, and the model that decides how many voices there are, on vectors whose groups are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from triton_models.shared.diarization import clusters
from triton_models.shared.diarization.options import MOST, Options
from triton_models.shared.diarization.tree import average_linkage
from triton_models.shared.diarization.voice import SIZE, unit
from triton_models.shared.errors import CancelledError

Vectors = NDArray[np.float32]


def windows(sizes: list[int], seed: int = 0) -> tuple[Vectors, NDArray[np.int64]]:
    """So many windows of each speaker, one after the other, as alike as the network's are; and who they are of."""
    generator = np.random.default_rng(seed)
    common = np.abs(generator.normal(size=SIZE))
    people = [unit(unit(common) + unit(np.abs(generator.normal(size=SIZE)) - 0.8)) for _ in sizes]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    noise = generator.normal(size=(len(labels), SIZE)) * 0.6 / np.sqrt(SIZE)
    return unit(np.array(people)[labels] + noise).astype(np.float32), labels


def found(vectors: Vectors, options: Options | None = None, trust: Vectors | None = None) -> Vectors:
    """The voices, when every ten windows are a stretch of speech."""
    trust = np.ones(len(vectors), np.float32) if trust is None else trust
    return clusters.speakers(vectors, np.arange(len(vectors)) // 10, trust, options or Options())


def naive(vectors: Vectors) -> list[float]:
    """The heights of average linkage, by its definition."""
    groups = [[place] for place in range(len(vectors))]
    distances = 1 - vectors.astype(float) @ vectors.T
    heights = []
    while len(groups) > 1:
        pairs = [(i, j) for i in range(len(groups)) for j in range(i)]
        means = [distances[np.ix_(groups[i], groups[j])].mean() for i, j in pairs]
        i, j = pairs[int(np.argmin(means))]
        heights.append(float(min(means)))
        groups[j] += groups.pop(i)
    return heights


def test_the_tree_is_average_linkage() -> None:
    vectors, _ = windows([6, 9, 4])
    assert average_linkage(vectors).heights == pytest.approx(naive(vectors), abs=1e-6)


def test_a_cut_and_a_count_agree() -> None:
    vectors, labels = windows([8, 5, 12])
    tree = average_linkage(vectors)
    three = tree.into(3)
    assert len({(int(a), int(b)) for a, b in zip(three, labels, strict=True)}) == 3
    assert (tree.cut(float(tree.heights[-3])) == three).all()
    assert len(set(tree.into(100).tolist())) == len(vectors)


def test_one_vector_is_a_tree() -> None:
    assert average_linkage(windows([1])[0]).cut(0.5).tolist() == [0]


@pytest.mark.parametrize("sizes", [[40], [30, 25], [60, 15, 20], [20] * 6])
def test_as_many_voices_are_found_as_there_are(sizes: list[int]) -> None:
    vectors, labels = windows(sizes)
    voices = found(vectors)
    assert len(voices) == len(sizes)
    assert len({(int(a), int(b)) for a, b in zip((vectors @ voices.T).argmax(axis=1), labels, strict=True)}) == len(
        sizes
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_a_given_number_of_speakers_is_exact(count: int) -> None:
    vectors, _ = windows([30, 25, 20])
    assert len(found(vectors, Options(count, count))) == count


def test_bounds_hold() -> None:
    vectors, _ = windows([30, 25, 20])
    assert len(found(vectors, Options(least=4))) >= 4
    assert len(found(vectors, Options(most=2))) == 2


def test_fewer_windows_than_speakers_give_as_many_as_there_are_windows() -> None:
    assert len(found(windows([2, 1])[0], Options(5, 5))) == 3


def test_windows_of_two_voices_do_not_make_a_third() -> None:
    vectors, _ = windows([20, 20])
    mixed = unit(vectors[:10] + vectors[20:30])
    trust = np.repeat(np.array([1, 0.1], np.float32), [40, 10])
    assert len(found(np.concatenate([vectors, mixed]), trust=trust)) == 2


def test_the_same_windows_always_give_the_same() -> None:
    vectors, _ = windows([30, 25, 20])
    assert (found(vectors) == found(vectors)).all()


def test_twenty_minutes_of_windows_of_twenty_people_stay_bounded() -> None:
    vectors, labels = windows([300] * 20)
    voices = found(vectors)
    assert 15 <= len(voices) <= MOST
    shares = [np.bincount((vectors[labels == label] @ voices.T).argmax(axis=1)).max() / 300 for label in range(20)]
    assert np.mean(shares) > 0.9


def test_clustering_stops_when_cancelled() -> None:
    vectors, _ = windows([20, 20])
    with pytest.raises(CancelledError):
        clusters.speakers(vectors, np.zeros(40, int), np.ones(40, np.float32), Options(), lambda: True)
