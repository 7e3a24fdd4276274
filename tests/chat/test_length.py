"""The length of a recording by its container's header alone."""

from __future__ import annotations

import io
import random
import struct

import av
import numpy as np
import pytest

from services.chat.length import length_of
from tests.chat.conftest import wav

RATE = 48_000
SECONDS = 3.0
CODECS = {
    "wav": "pcm_s16le",
    "flac": "flac",
    "ogg": "libopus",
    "mp3": "libmp3lame",
    "mp4": "aac",
    "webm": "libopus",
    "matroska": "libopus",
}


def encoded(form: str, codec: str, rate: int = RATE, bits: int | None = None) -> bytes:
    """Noise of SECONDS in a container."""
    noise = np.random.default_rng(1).integers(-8000, 8000, (1, int(SECONDS * rate)), dtype=np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        if bits:
            stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("form", CODECS)
def test_every_container_says_it(form: str) -> None:
    assert length_of(encoded(form, CODECS[form])) == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_mpeg_audio_of_every_version_says_it(rate: int) -> None:
    assert length_of(encoded("mp3", "libmp3lame", rate, 64_000)) == pytest.approx(SECONDS, abs=0.2)


def test_vorbis_says_it() -> None:
    # PyAV's wheel cannot write it: the first page's packet and the last page's head, by RFC 3533.
    first = b"OggS" + bytes(24) + b"\x01vorbis" + struct.pack("<IBI", 0, 1, 44_100)
    last = b"OggS\x00\x04" + struct.pack("<q", 3 * 44_100)
    assert length_of(first + bytes(5000) + last + bytes(100)) == SECONDS


def test_a_wav_file_whose_size_was_never_written_says_it() -> None:
    assert length_of(wav(7.0)) == pytest.approx(7.0, abs=0.2)


@pytest.mark.parametrize("form", CODECS)
def test_no_damage_makes_it_fail(form: str) -> None:
    whole = encoded(form, CODECS[form])
    chance = random.Random(1)
    for cut in (0, 3, 4, 10, 21, 40, 100):
        length_of(whole[:cut])
    for _ in range(200):
        damaged = bytearray(whole[:2000])
        for _ in range(8):
            damaged[chance.randrange(64)] = chance.randrange(256)
        length = length_of(bytes(damaged))
        assert length is None or isinstance(length, float)


@pytest.mark.parametrize("data", [b"", b"how many customers are there", bytes(1000), b"RIFF", b"fLaC", b"OggS", b"ID3"])
def test_what_says_nothing_has_none(data: bytes) -> None:
    assert length_of(data) is None
