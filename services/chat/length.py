"""How long a recording is, as its container says: enough to choose a way through the asr service, which measures it.

Read from the headers alone, so that no audio is decoded here and no library parses what strangers send. Formats: RIFF
(https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html), FLAC (RFC 9639), Ogg (RFC 3533) with Opus
(RFC 7845) or Vorbis, MPEG-4 (ISO/IEC 14496-12), MPEG audio layer III, Matroska and WebM (RFC 9559).
"""

from __future__ import annotations

import struct

# Where a header has to be found: behind it lies audio, in which anything may look like one.
HEADER = 1 << 16
OPUS_RATE = 48_000
MPEG_RATES = (44_100, 48_000, 32_000)
# kbit/s by the index in the frame header: layer III of MPEG 1, and of MPEG 2 and 2.5.
MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


def length_of(data: bytes) -> float | None:
    """Seconds of audio in a file; None where its beginning does not say. A header that lies is believed."""
    try:
        if data[:4] == b"RIFF":
            return _wav(data)
        if data[:4] == b"fLaC":
            return _flac(data)
        if data[:4] == b"OggS":
            return _ogg(data)
        if data[4:8] == b"ftyp":
            return _mp4(data)
        if data[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(data)
        return _mp3(data)
    except (struct.error, ValueError, ZeroDivisionError, IndexError):
        return None


def _wav(data: bytes) -> float:
    """By the bytes a second of the format chunk: the size that a header gives is a guess where it was streamed."""
    at = data.index(b"fmt ", 0, HEADER)
    (rate,) = struct.unpack_from("<I", data, at + 16)
    return (len(data) - at) / int(rate)


def _flac(data: bytes) -> float | None:
    """STREAMINFO: 20 bits of rate, 8 of channels and sample size, 36 of samples."""
    (packed,) = struct.unpack_from(">Q", data, 18)
    samples = packed & ((1 << 36) - 1)
    return int(samples) / int(packed >> 44) if samples else None


def _ogg(data: bytes) -> float | None:
    """The last page's position, in samples."""
    (samples,) = struct.unpack_from("<q", data, data.rindex(b"OggS") + 6)
    head = data[:HEADER]
    if b"OpusHead" in head:
        return int(samples) / OPUS_RATE
    (rate,) = struct.unpack_from("<I", data, head.index(b"\x01vorbis") + 12)
    return int(samples) / int(rate)


def _mp4(data: bytes) -> float | None:
    """The movie header, which stands before the media or behind it; fragments leave its duration empty."""
    at = data.index(b"mvhd")
    scale, units = struct.unpack_from(
        ">IQ" if data[at + 4] == 1 else ">II", data, at + (24 if data[at + 4] == 1 else 16)
    )
    return units / scale or None


def _matroska(data: bytes) -> float | None:
    """The segment's duration in milliseconds, the unit that all known writers choose."""
    for mark, form in ((b"\x44\x89\x88", ">d"), (b"\x44\x89\x84", ">f")):
        at = data.find(mark, 0, HEADER)
        if at >= 0:
            return float(struct.unpack_from(form, data, at + 3)[0]) / 1000
    return None


def _mp3(data: bytes) -> float | None:
    """By the frame count of a Xing header, or else as if all frames had the bit rate of the first."""
    start = 0
    if data[:3] == b"ID3":
        size = data[6:10]
        start = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    (head,) = struct.unpack_from(">I", data, start)
    version, layer = head >> 19 & 3, head >> 17 & 3
    if head >> 21 != 0x7FF or version == 1 or layer != 1:
        return None
    rate = MPEG_RATES[head >> 10 & 3] // {3: 1, 2: 2, 0: 4}[version]
    for mark in (b"Xing", b"Info"):
        at = data.find(mark, start, start + 200)
        if at >= 0 and data[at + 7] & 1:
            (frames,) = struct.unpack_from(">I", data, at + 8)
            return int(frames) * (1152 if version == 3 else 576) / rate
    return (len(data) - start) * 8 / ((MPEG1_KBITS if version == 3 else MPEG2_KBITS)[head >> 12 & 15] * 1000)
