"""From a file's bytes to samples: any container and codec that FFmpeg's libraries read, as mono float32 at 16 kHz.

The audio is decoded piece by piece, so memory does not grow with its length, and what unpacks to far more than its
size meets a limit before it is unpacked.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from services.asr.errors import AudioTooLong, InvalidAudio

RATE = 16000
PIECE = 10 * RATE
"""Samples that are handed on at a time, at least; the last piece may be shorter."""
# Only containers that hold media themselves. Others (hls, concat, sdp …) make FFmpeg open what they name: files of this
# machine, addresses inside its network.
FORMATS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,gsm,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,ogg,tta,"
    "w64,wav,wv"
)
OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
BROKEN_PACKETS = 200
"""Packets in a row that may fail to decode before the rest is given up."""

Samples = NDArray[np.float32]


def decode(data: bytes, max_seconds: float) -> Iterator[Samples]:
    """The samples of the first audio stream, in pieces.

    A file that ends too early gives what it has. Blocks while it works; meant for a worker thread.

    Args:
        data: The file.
        max_seconds: Longest audio that is taken.

    Raises:
        InvalidAudio: not audio, no audio stream, an unknown codec, nothing that can be decoded.
        AudioTooLong: there is more than `max_seconds`; raised when that much has been decoded.
    """
    if not data:
        raise InvalidAudio("it is empty; send a recording, e.g. WAV, FLAC, MP3, Ogg, MP4 or WebM")
    try:
        with av.open(io.BytesIO(data), options=OPTIONS, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise InvalidAudio("it has no audio stream; send a recording with sound")
            yield from _pieces(_converted(container), max_seconds)
    except (FFmpegError, ValueError, EOFError) as error:
        raise InvalidAudio(
            "it cannot be read as audio; send a whole recording, e.g. WAV, FLAC, MP3, Ogg, MP4 or WebM"
        ) from error


def _pieces(parts: Iterator[Samples], max_seconds: float) -> Iterator[Samples]:
    """Gathers parts into pieces. Raises InvalidAudio when there is none, AudioTooLong when there are too many."""
    gathered: list[Samples] = []
    waiting = total = 0
    for part in parts:
        gathered.append(part)
        waiting += len(part)
        total += len(part)
        if total > max_seconds * RATE:
            raise AudioTooLong(max_seconds)
        if waiting >= PIECE:
            yield np.concatenate(gathered)
            gathered, waiting = [], 0
    if not total:
        raise InvalidAudio("no sound could be decoded; the file is damaged or ends too early")
    if gathered:
        yield np.concatenate(gathered)


def _converted(container: Any) -> Iterator[Samples]:
    """The frames of the first audio stream as mono float32 at 16 kHz."""
    resampler = _resampler()
    for frame in _frames(container):
        try:
            converted = resampler.resample(frame)
        except ValueError:  # the rate or the layout changed in mid-stream: go on with another resampler
            resampler = _resampler()
            converted = resampler.resample(frame)
        yield from (part.to_ndarray().reshape(-1) for part in converted)
    yield from (part.to_ndarray().reshape(-1) for part in resampler.resample(None))


def _resampler() -> Any:
    return av.AudioResampler(format="flt", layout="mono", rate=RATE)


def _frames(container: Any) -> Iterator[Any]:
    """Decoded frames. Damaged packets are passed over; a file that breaks off ends there."""
    broken = 0
    packets = container.demux(container.streams.audio[0])
    while broken < BROKEN_PACKETS:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except FFmpegError:
            broken += 1
            continue
        broken = 0
        yield from frames
