"""The speaker network gives what the package that its weights come from gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from triton_models.shared import packages
from triton_models.shared.diarization import mel
from triton_models.shared.diarization.voice import Voices
from triton_models.shared.errors import CancelledError
from triton_models.shared.weights import REMEDY

MEL = [0.10518905, 0.35905242, 0.08189780, 0.08711893, 0.02527711, 0.03760367]
EMBEDDING = {
    36: 0.24256,
    246: 0.24164,
    213: 0.20620,
    168: 0.20177,
    113: 0.20168,
    218: 0.19319,
    182: 0.18799,
    122: 0.18118,
}


def hum() -> NDArray[np.int16]:
    """Two seconds of a voice-like hum with a little noise."""
    generator = np.random.default_rng(7)
    time = np.arange(32000) / 16000
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 1.3 * time)) / 16000
    tones = sum(np.sin(k * phase) / k for k in range(1, 20)) * 0.05 * (1 + np.sin(2 * np.pi * 3 * time))
    samples: NDArray[np.int16] = np.round((tones + generator.normal(0, 0.002, 32000)) * 32768).astype(np.int16)
    return samples


def test_spectra_equal_librosas() -> None:
    """Numbers from librosa 0.11, called as resemblyzer 0.1.4 does."""
    spectra = mel.spectra(hum())
    assert spectra.shape == (201, 40)
    assert spectra[100, :6] == pytest.approx(MEL, rel=1e-4)


def test_spectra_do_not_depend_on_the_pieces_that_they_are_made_in() -> None:
    long = np.tile(hum(), 8)
    assert len(long) // mel.HOP > mel.PIECE
    whole, part = mel.spectra(long), mel.spectra(long[:200_000])
    assert np.allclose(whole[:1240], part[:1240], rtol=1e-5)


def test_embeddings_equal_resemblyzers() -> None:
    """The largest components that resemblyzer 0.1.4 with PyTorch 2.13 gives for the first 1.6 s.

    To a few thousandths: two layers multiply in eight bits here.
    """
    found = Voices().embed(mel.spectra(hum()), np.array([0]), np.array([[160]]))[0, 0]
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    assert [float(found[place]) for place in EMBEDDING] == pytest.approx(list(EMBEDDING.values()), abs=5e-3)
    others = np.delete(found, list(EMBEDDING))
    assert others.max() < min(EMBEDDING.values())


def test_a_shorter_window_is_what_the_network_makes_of_that_much_audio() -> None:
    spectra, voices = mel.spectra(hum()), Voices()
    both = voices.embed(spectra, np.array([20]), np.array([[160, 80]]))[0]
    alone = voices.embed(spectra[:100], np.array([20]), np.array([[80]]))[0, 0]
    assert both[1] @ alone > 0.999
    assert both[0] @ both[1] < 0.999


def test_embedding_stops_when_cancelled() -> None:
    with pytest.raises(CancelledError):
        Voices().embed(mel.spectra(hum()), np.array([0]), np.array([[160]]), cancelled=lambda: True)


def test_missing_weights_name_the_command_that_brings_them() -> None:
    with pytest.raises(FileNotFoundError, match=r"make setup.*pip install --no-deps"):
        packages.file("resemblyzer", "absent.pt", REMEDY)
