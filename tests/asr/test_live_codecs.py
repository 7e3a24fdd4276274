"""The encodings of live audio: torn anywhere, the samples are those that FFmpeg finds in the whole."""

from __future__ import annotations

import io
import struct
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.asr.codecs import TABLES, Encoding, LiveReader
from services.asr.errors import InvalidAudio

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
Pcm = NDArray[np.int16]


def tone(rate: int, channels: int = 1, seconds: float = 1.0) -> Pcm:
    """A noisy tone, louder on later channels: int16[n, channels]."""
    n = round(rate * seconds)
    noise = np.random.default_rng(1).normal(0, 300, (n, channels))
    wave = np.sin(2 * np.pi * 440 * np.arange(n) / rate)[:, None] * 2000 * (1 + np.arange(channels))
    samples: Pcm = (wave + noise).astype(np.int16)
    return samples


def encoded(samples: Pcm, rate: int, codec: str, form: str) -> bytes:
    layout = LAYOUTS[samples.shape[1]]
    out = io.BytesIO()
    with av.open(out, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.layout = layout
        frame: Any = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return out.getvalue()


def whole(data: bytes) -> NDArray[np.float32]:
    """What FFmpeg finds: float32[n, channels] at the rate of the file."""
    parts = []
    with av.open(io.BytesIO(data)) as opened:
        container: Any = opened
        stream = container.streams.audio[0]
        packed = av.AudioResampler(format="flt", layout=stream.layout.name, rate=stream.rate)
        for frame in container.decode(stream):
            parts += [part.to_ndarray().reshape(-1, len(part.layout.channels)) for part in packed.resample(frame)]
    return np.concatenate(parts)


def read(reader: LiveReader, data: bytes, size: int) -> list[NDArray[np.float32]]:
    """All that a reader makes of data in pieces of a size: an array for each channel."""
    parts = [reader.read(data[start : start + size]) for start in range(0, len(data), size)]
    parts = [part for part in [*parts, reader.finish()] if part]
    return [np.concatenate(channel) for channel in zip(*parts, strict=True)]


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_flac_in_pieces_is_flac(size: int) -> None:
    samples = tone(16000)
    (found,) = read(LiveReader(Encoding.FLAC), encoded(samples, 16000, "flac", "flac"), size)
    assert np.array_equal(found, samples[:, 0].astype(np.float32) / 32768)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("encoding", [Encoding.FLAC, Encoding.PCM])
def test_every_rate_becomes_16_khz(rate: int, encoding: Encoding) -> None:
    samples = tone(rate)
    data = encoded(samples, rate, "flac", "flac") if encoding is Encoding.FLAC else samples.tobytes()
    (found,) = read(LiveReader(encoding, rate), data, 4097)
    assert abs(len(found) - 16000) <= 16
    spectrum = np.abs(np.fft.rfft(found))
    assert abs(int(spectrum.argmax()) * 16000 / len(found) - 440) < 3


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_opus_in_pieces_is_opus(channels: int) -> None:
    data = encoded(tone(48000, channels), 48000, "libopus", "ogg")
    expected = whole(data)
    found = read(LiveReader(Encoding.OPUS, separate=True), data, 313)
    assert len(found) == channels
    for channel, samples in enumerate(found):
        # Resampled from 48 kHz: compared by loudness and length.
        assert abs(len(samples) - len(expected) / 3) < 200
        assert np.abs(samples).mean() == pytest.approx(np.abs(expected[:, channel]).mean(), rel=0.1)


def test_chained_opus_goes_on() -> None:
    one = encoded(tone(48000), 48000, "libopus", "ogg")
    (once,) = read(LiveReader(Encoding.OPUS), one, 500)
    (twice,) = read(LiveReader(Encoding.OPUS), one + one, 500)
    assert abs(len(twice) - 2 * len(once)) <= 2


def test_g711_is_as_ffmpeg_has_it() -> None:
    for codec, encoding in (("pcm_mulaw", Encoding.MULAW), ("pcm_alaw", Encoding.ALAW)):
        context: Any = av.CodecContext.create(codec, "r")
        context.sample_rate, context.layout = 8000, "mono"
        (frame,) = context.decode(av.Packet(bytes(range(256))))
        assert np.array_equal(frame.to_ndarray().reshape(-1) / 32768, TABLES[encoding])


def test_channels_are_mixed_or_kept_apart() -> None:
    samples = tone(16000, 8)
    (mixed,) = read(LiveReader(Encoding.PCM, 16000, 8), samples.tobytes(), 999)
    apart = read(LiveReader(Encoding.PCM, 16000, 8, separate=True), samples.tobytes(), 999)
    assert np.allclose(mixed, samples.mean(axis=1) / 32768, atol=1e-6)
    assert np.array_equal(np.stack(apart, axis=1), samples.astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("form", "codec", "dtype"), [("wav", "pcm_s16le", "int16"), ("wav", "pcm_mulaw", "uint8"), ("w64", "pcm_s16le", "")]
)
@pytest.mark.parametrize("size", [1, 5000])
def test_the_header_of_a_wav_file_is_no_sound_and_says_what_follows(
    form: str, codec: str, dtype: str, size: int
) -> None:
    samples = tone(8000, 2)
    data = encoded(samples, 8000, codec, form)
    if not dtype:  # another header: taken as samples, as there is no telling
        assert len(read(LiveReader(Encoding.PCM, 8000, 2), data[: len(data) // 4 * 4], size)) == 1
        return
    # The request says another rate and other channels: the header knows better.
    found = read(LiveReader(Encoding.PCM, 16000, 1, separate=True), data, size)
    assert [abs(len(channel) - 16000) <= 16 for channel in found] == [True, True]


@given(st.binary(max_size=3000), st.sampled_from(list(Encoding)), st.integers(1, 500))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_audio_or_refused(data: bytes, encoding: Encoding, size: int) -> None:
    try:
        read(LiveReader(encoding, 8000, 3), data, size)
    except InvalidAudio as error:
        assert encoding.value in str(error) or "WAV" in str(error) or "it says" in str(error)


@pytest.mark.parametrize(
    ("codec", "form", "encoding"), [("flac", "flac", Encoding.FLAC), ("libopus", "ogg", Encoding.OPUS)]
)
@given(place=st.floats(0.05, 0.9), noise=st.binary(min_size=40, max_size=400))
@settings(max_examples=30, deadline=None)
def test_damage_is_found_or_survived(codec: str, form: str, encoding: Encoding, place: float, noise: bytes) -> None:
    data = encoded(tone(48000), 48000, codec, form)
    cut = int(place * len(data))
    damaged = data[:cut] + noise + data[cut + len(noise) :]
    try:
        channels = read(LiveReader(encoding), damaged, 777)
    except InvalidAudio as error:
        assert encoding.value in str(error) or "it says" in str(error)
    else:
        assert all(len(channel) < 100_000 and np.isfinite(channel).all() for channel in channels)


def test_a_flac_stream_that_breaks_off_gives_what_it_has() -> None:
    data = encoded(tone(16000, seconds=3), 16000, "flac", "flac")
    (found,) = read(LiveReader(Encoding.FLAC), data[: len(data) // 2], 1000)
    assert 16000 < len(found) < 32000


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        (b"\0\0\0", Encoding.PCM, "in the middle of a sample"),
        (b"not a flac file", Encoding.FLAC, "FLAC"),
        (b"not an ogg file, not at all", Encoding.OPUS, "Ogg Opus"),
        (
            b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32) + b"data\0\0\0\0",
            Encoding.PCM,
            "format 3",
        ),
        (
            b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 99, 8000, 0, 0, 16) + b"data\0\0\0\0",
            Encoding.PCM,
            "99 channels",
        ),
    ],
)
def test_what_is_wrong_is_said(data: bytes, encoding: Encoding, said: str) -> None:
    with pytest.raises(InvalidAudio, match=said):
        read(LiveReader(encoding), data, 5)
