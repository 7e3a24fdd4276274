"""From a file to samples: any container and codec that FFmpeg's libraries read, as float32 at 16 kHz.

The audio is decoded piece by piece, so memory does not grow with its length, and what unpacks to far more than its
size meets a limit before it is unpacked.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
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
MAX_CHANNELS = 8
"""Channels that are taken apart, at most; more are mixed, or refused when each is wanted."""

Samples = NDArray[np.float32]
Source = bytes | Path
"""A file: its bytes, or where it lies."""


def decode(source: Source, max_seconds: float, *, separate: bool = False) -> Generator[Samples]:
    """The samples of the first audio stream, in pieces of shape [n, channels], from -1 to 1.

    A file that ends too early gives what it has. What is no number becomes silence, what is too loud is clipped. Blocks
    while it works; meant for a worker thread.

    Args:
        source: The file.
        max_seconds: Longest audio that is taken.
        separate: Keep the channels apart; otherwise they are mixed into one.

    Raises:
        InvalidAudio: not audio, no audio stream, an unknown codec, nothing that can be decoded, too many channels.
        AudioTooLong: there is more than `max_seconds`; raised when that much has been decoded.
    """
    import av  # here: FFmpeg's libraries, 12 MB, come with the first recording

    try:
        with _opened(source) as file, av.open(file, options=OPTIONS, metadata_errors="ignore") as container:
            yield from _pieces(_converted(_audio(container), separate), max_seconds)
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise InvalidAudio(
            "it cannot be read as audio; send a whole recording, e.g. WAV, FLAC, MP3, Ogg, MP4 or WebM"
        ) from error


def claimed_seconds(source: Source) -> float:
    """The length that the file's header claims; 0 where it claims none, or cannot be read. Headers may lie."""
    import av  # here: FFmpeg's libraries, 12 MB, come with the first recording

    with (
        contextlib.suppress(av.FFmpegError, ValueError, EOFError, InvalidAudio),
        _opened(source) as file,
        av.open(file, "r", options=OPTIONS, metadata_errors="ignore") as container,
    ):
        return max(0.0, float(container.duration or 0) / av.time_base)
    return 0.0


def _opened(source: Source) -> BinaryIO:
    """The file to read. Never by its name: FFmpeg would follow what a name can mean. Raises InvalidAudio when empty."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if not size:
        raise InvalidAudio("it is empty; send a recording, e.g. WAV, FLAC, MP3, Ogg, MP4 or WebM")
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _audio(container: Any) -> Any:
    if not container.streams.audio:
        raise InvalidAudio("it has no audio stream; send a recording with sound")
    return container


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


def _converted(container: Any, separate: bool) -> Iterator[Samples]:
    """The frames of the first audio stream as float32 at 16 kHz, [n, channels]."""
    resampler: Any = None
    channels = 1
    for frame in _frames(container):
        if resampler is None:
            channels = _channels(frame) if separate else 1
            resampler = _resampler(separate)
        try:
            converted = resampler.resample(frame)
        except ValueError:  # the rate or the layout changed in mid-stream: go on with another resampler
            if separate and _channels(frame) != channels:
                raise InvalidAudio("the number of its channels changes in the middle; send it in parts") from None
            resampler = _resampler(separate)
            converted = resampler.resample(frame)
        yield from (_clean(part, channels) for part in converted)
    if resampler is not None:
        yield from (_clean(part, channels) for part in resampler.resample(None))


def _channels(frame: Any) -> int:
    """The number of channels. Raises InvalidAudio for more than can be taken apart."""
    count = int(frame.layout.nb_channels)
    if count > MAX_CHANNELS:
        raise InvalidAudio(f"it has {count} channels; at most {MAX_CHANNELS} are recognised one by one")
    return count


def _clean(frame: Any, channels: int) -> Samples:
    """A frame's samples, [n, channels]. Files of floats may hold infinities, what is no number, and any loudness."""
    samples: Samples = np.nan_to_num(frame.to_ndarray().reshape(-1, channels), nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(samples, -1.0, 1.0)


def _resampler(separate: bool) -> Any:
    import av  # here: as above

    return av.AudioResampler(format="flt", layout=None if separate else "mono", rate=RATE)


def _frames(container: Any) -> Iterator[Any]:
    """Decoded frames. Damaged packets are passed over; a file that breaks off ends there."""
    from av.error import FFmpegError  # here: as above

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
