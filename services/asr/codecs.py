"""From the bytes of a live stream, torn anywhere, to samples: linear PCM, G.711, FLAC and Ogg Opus.

FLAC and Ogg are split into packets here rather than by FFmpeg's demuxers: those read a file and block until it goes on,
which would take a thread for each stream, and hold ten frames of FLAC back, seconds of a live stream. Splitting needs
no thread, and hands on a frame as soon as the next one begins. What is inside the packets is FFmpeg's business.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.asr.errors import InvalidAudio
from services.asr.models import RATE, Samples

Frames = NDArray[np.float32]
"""[n, channels], from -1 to 1."""
LOWEST_RATE, HIGHEST_RATE, MOST_CHANNELS = 8000, 192_000, 8
LONGEST_FRAME = 1 << 20
"""Bytes in which a FLAC frame or an Ogg page must have ended: larger ones are no live audio."""


class Encoding(Enum):
    """How the audio of a live stream is encoded; the value is what people call it."""

    PCM = "linear PCM"
    MULAW = "\N{GREEK SMALL LETTER MU}-law"
    ALAW = "A-law"
    FLAC = "FLAC"
    OPUS = "Ogg Opus"


class Decoder(Protocol):
    """Decodes one stream, piece by piece."""

    rate: int
    """Samples per second of what it gives; known once it has given any."""

    def read(self, data: bytes) -> Frames:
        """The frames that are complete with the next bytes. Raises InvalidAudio."""
        ...

    def finish(self) -> Frames:
        """What was held back. Raises InvalidAudio when the audio ends in the middle of something."""
        ...


def decoder(encoding: Encoding, rate: int, channels: int) -> Decoder:
    """A decoder for a stream.

    Args:
        encoding: How it is encoded.
        rate: Samples per second; FLAC, Opus and a WAV header say it themselves.
        channels: As many are interleaved; the same holds.
    """
    if encoding is Encoding.FLAC:
        return FlacDecoder()
    if encoding is Encoding.OPUS:
        return OpusDecoder()
    return RawDecoder(encoding, rate, channels)


class LiveReader:
    """Turns a live stream into samples at 16 kHz.

    Args:
        encoding: How it is encoded.
        rate: Samples per second, for what does not say it itself.
        channels: As many are interleaved, for what does not say it itself.
        separate: Keep channels apart; otherwise they are mixed.
    """

    def __init__(self, encoding: Encoding, rate: int = RATE, channels: int = 1, separate: bool = False) -> None:
        self._decoder = decoder(encoding, rate, channels)
        self._separate = separate
        self._resamplers: list[Resampler] = []

    def read(self, data: bytes) -> list[Samples]:
        """The samples of each channel, or of their mix, that the next bytes complete. Raises InvalidAudio."""
        return self._resampled(self._decoder.read(data))

    def finish(self) -> list[Samples]:
        """What was held back. Raises InvalidAudio when the audio ends in the middle of something."""
        rest = self._resampled(self._decoder.finish())
        held = [resampler.finish() for resampler in self._resamplers]
        if not rest:
            return held
        return [np.concatenate(pair) for pair in zip(rest, held, strict=True)]

    def _resampled(self, frames: Frames) -> list[Samples]:
        if not len(frames):
            return []
        tracks = list(frames.T) if self._separate else [frames.mean(axis=1)]
        if not self._resamplers:
            self._resamplers = [Resampler(self._decoder.rate) for _ in tracks]
        if len(tracks) != len(self._resamplers):
            raise InvalidAudio("its number of channels changes in mid-stream; start another stream")
        return [
            resampler.read(np.ascontiguousarray(track))
            for resampler, track in zip(self._resamplers, tracks, strict=True)
        ]


class Resampler:
    """Brings one channel to 16 kHz, piece by piece.

    Args:
        rate: Samples per second of what comes in.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._inner: Any = None
        if rate != RATE:
            import av  # here: FFmpeg's libraries, 12 MB, come with the first stream that needs them

            self._inner = av.AudioResampler(format="flt", layout="mono", rate=RATE)

    def read(self, samples: Samples) -> Samples:
        """The next samples."""
        if self._inner is None:
            return samples
        import av  # here: as above

        frame: Any = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = self._rate
        return _joined(self._inner.resample(frame))

    def finish(self) -> Samples:
        """What was held back."""
        return _joined([] if self._inner is None else self._inner.resample(None))


def _joined(frames: list[Any]) -> Samples:
    parts = [frame.to_ndarray().reshape(-1) for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _mulaw() -> Samples:
    """The value of each μ-law byte (ITU-T G.711)."""
    code = ~np.arange(256, dtype=np.uint8)
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << (code >> 4 & 7)) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.float32) / 32768


def _alaw() -> Samples:
    """The value of each A-law byte (ITU-T G.711)."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (code >> 4 & 7).astype(np.int32)
    base = ((code & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, base, base + 256 << np.maximum(exponent - 1, 0))
    return np.where(code & 128, magnitude, -magnitude).astype(np.float32) / 32768


TABLES = {Encoding.MULAW: _mulaw(), Encoding.ALAW: _alaw()}
# Format codes of WAV files; the last means that the code stands further on.
WAV_PCM, WAV_ALAW, WAV_MULAW, WAV_EXTENSIBLE = 1, 6, 7, 0xFFFE


class RawDecoder:
    """Samples without a container; a WAV header in front is understood, because clients send files as they are.

    Args:
        encoding: PCM, MULAW or ALAW.
        rate: Samples per second.
        channels: As many are interleaved.
    """

    def __init__(self, encoding: Encoding, rate: int, channels: int) -> None:
        self.rate = rate
        self._encoding, self._channels = encoding, channels
        self._held = b""
        self._begun = False
        self._left: int | None = None  # bytes of a WAV file's data; what follows them is no audio

    def read(self, data: bytes) -> Frames:
        """See Decoder.read."""
        data = self._held + data
        if not self._begun:
            beginning = self._after_header(data)
            if beginning is None:
                self._held = data
                return np.zeros((0, self._channels), np.float32)
            self._begun, data = True, beginning
        size = self._channels * (2 if self._encoding is Encoding.PCM else 1)
        if self._left is not None:
            data = data[: self._left]
        whole = len(data) // size * size
        self._held = data[whole:]
        if self._left is not None:
            self._left -= whole
        return self._decoded(data[:whole])

    def finish(self) -> Frames:
        """See Decoder.finish."""
        if self._held:
            raise InvalidAudio(
                f"it ends in the middle of a sample: {self._encoding.value} with {self._channels} channel(s) comes in "
                f"multiples of {self._channels * (2 if self._encoding is Encoding.PCM else 1)} bytes"
            )
        return np.zeros((0, self._channels), np.float32)

    def _decoded(self, data: bytes) -> Frames:
        if self._encoding is Encoding.PCM:
            return (np.frombuffer(data, "<i2").astype(np.float32) / 32768).reshape(-1, self._channels)
        table = TABLES[self._encoding]
        return table[np.frombuffer(data, np.uint8)].reshape(-1, self._channels)

    def _after_header(self, data: bytes) -> bytes | None:
        """What follows the header, or all where there is none; None while that cannot be told yet."""
        if not (data.startswith(b"RIFF") or b"RIFF".startswith(data[:4])):
            return data
        if len(data) < 12:
            return None if data else b""
        if data[8:12] != b"WAVE":
            return data
        position = 12
        while len(data) >= position + 8:
            name, length = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
            if name == b"data":
                # Streams are written before their length is known: 0 or the most there can be stands there then.
                self._left = length if 0 < length < 0xFFFFFF00 else None
                return data[position + 8 :]
            if len(data) < position + 8 + length:
                break
            if name == b"fmt ":
                self._take_format(data[position + 8 : position + 8 + length])
            position += 8 + length + length % 2
        if len(data) > LONGEST_FRAME:
            raise InvalidAudio("its WAV header has no data within 1 MiB; send the samples alone")
        return None

    def _take_format(self, body: bytes) -> None:
        if len(body) < 16:
            raise InvalidAudio("its WAV header is damaged; send the samples alone")
        code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
        if code == WAV_EXTENSIBLE and len(body) >= 26:
            code = struct.unpack_from("<H", body, 24)[0]
        known = {(WAV_PCM, 16): Encoding.PCM, (WAV_MULAW, 8): Encoding.MULAW, (WAV_ALAW, 8): Encoding.ALAW}
        if (code, bits) not in known:
            raise InvalidAudio(
                f"its WAV header says format {code} with {bits} bits; live audio is 16-bit PCM, "
                "\N{GREEK SMALL LETTER MU}-law or A-law"
            )
        check_format(rate, channels)
        self._encoding, self.rate, self._channels = known[code, bits], rate, channels


def check_format(rate: int, channels: int) -> None:
    """Raises InvalidAudio for a rate or a number of channels, said by the audio itself, that is out of bounds."""
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InvalidAudio(f"it says {rate} samples a second; {LOWEST_RATE} to {HIGHEST_RATE} are taken")
    if not 1 <= channels <= MOST_CHANNELS:
        raise InvalidAudio(f"it says {channels} channels; 1 to {MOST_CHANNELS} are taken")


class PacketDecoder:
    """Decodes the packets of one stream with FFmpeg.

    Args:
        encoding: For messages.
        codec: FFmpeg's name of the codec.
        header: What the codec needs to know first, as FFmpeg has it in `extradata`.
    """

    def __init__(self, encoding: Encoding, codec: str, header: bytes) -> None:
        import av  # here: as above

        self._encoding = encoding
        self._context: Any = av.CodecContext.create(codec, "r")
        self._context.extradata = header
        self._context.options = {"err_detect": "crccheck+explode"}
        # Interleaved: PyAV reads behind the last plane of frames with eight planes, which ends the process.
        self._packed: Any = None

    def frames(self, packet: bytes) -> Iterator[Frames]:
        """The frames of a packet. Raises InvalidAudio."""
        import av  # here: as above

        try:
            for frame in self._context.decode(av.Packet(packet)):
                if self._packed is None:
                    self._packed = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
                for packed in self._packed.resample(frame):
                    yield packed.to_ndarray().reshape(-1, len(packed.layout.channels))
        except (av.FFmpegError, ValueError, EOFError) as error:
            raise damaged(self._encoding) from error


def damaged(encoding: Encoding) -> InvalidAudio:
    """The error for bytes that are not what the encoding says."""
    return InvalidAudio(f"it cannot be decoded as {encoding.value}: it is damaged, or of another encoding")


def _crc8_table() -> bytes:
    """For the CRC-8 of FLAC's frame headers: polynomial x^8 + x^2 + x + 1."""
    table = bytearray(256)
    for start in range(256):
        value = start
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
        table[start] = value
    return bytes(table)


CRC8 = _crc8_table()
STREAMINFO = 34
"""Length of FLAC's first metadata block."""


def flac_header_length(data: bytes, position: int) -> int:
    """Length of the FLAC frame header (RFC 9639, section 9.1) at a position; 0 where none is, or it is cut off."""
    head = data[position : position + 16]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return 0
    block, rate = head[2] >> 4, head[2] & 15
    if not block or rate == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return 0
    # The number of the frame or sample is written as UTF-8 writes code points.
    ones = 8 - (~head[4] & 0xFF).bit_length()
    if ones == 1 or ones == 8:
        return 0
    length = 4 + max(ones, 1) + {6: 1, 7: 2}.get(block, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if len(head) <= length:
        return 0
    crc = 0
    for byte in head[:length]:
        crc = CRC8[crc ^ byte]
    return length + 1 if crc == head[length] else 0


def flac_numbers(data: bytes, position: int) -> tuple[int, int]:
    """The number in the frame header at a position, of the frame or of its first sample, and that of the next frame."""
    ones = 8 - (~data[position + 4] & 0xFF).bit_length()
    after = position + 4 + max(ones, 1)
    number = data[position + 4] & (0x7F >> ones)
    for byte in data[position + 5 : after]:
        number = number << 6 | byte & 0x3F
    if not data[position + 1] & 1:  # blocks of one size: frames are counted
        return number, number + 1
    block = data[position + 2] >> 4
    if block in (6, 7):
        return number, number + 1 + int.from_bytes(data[after : after + block - 5], "big")
    return number, number + (192 if block == 1 else 576 << block - 2 if block < 6 else 256 << block - 8)


class FlacDecoder:
    """A FLAC file, piece by piece: a frame is complete when the header of the next one has arrived."""

    def __init__(self) -> None:
        self.rate = 0
        self._data = b""
        self._packets: PacketDecoder | None = None
        self._header = b""
        self._largest = LONGEST_FRAME
        self._searched = 1  # up to here no next header was found; the frame begins at 0
        self._none: Frames = np.zeros((0, 1), np.float32)

    def read(self, data: bytes) -> Frames:
        """See Decoder.read."""
        self._data += data
        if self._packets is None and not self._started():
            return self._none
        return self._decoded(self._complete())

    def finish(self) -> Frames:
        """See Decoder.finish."""
        if self._packets is None:
            if not self._data:
                return self._none
            raise damaged(Encoding.FLAC)
        rest, self._data = self._data, b""
        try:
            return self._decoded(iter([rest] if rest else []))
        except InvalidAudio:  # the stream broke off in the middle of its last frame: what came before is there
            return self._none

    def _started(self) -> bool:
        """Takes the metadata away. False while it has not arrived. Raises InvalidAudio."""
        if not b"fLaC".startswith(self._data[:4]):
            raise damaged(Encoding.FLAC)
        position, last = 4, False
        while not last:
            if len(self._data) < position + 4:
                return False
            last, kind = bool(self._data[position] & 128), self._data[position] & 127
            length = int.from_bytes(self._data[position + 1 : position + 4], "big")
            if position == 4 and (kind != 0 or length != STREAMINFO):
                raise damaged(Encoding.FLAC)
            if length > LONGEST_FRAME and kind != 6:  # pictures may be as large as they like, and are passed over
                raise damaged(Encoding.FLAC)
            if len(self._data) < position + 4 + length:
                return False
            if kind == 0:
                self._header = self._data[position + 4 : position + 4 + length]
            position += 4 + length
        bits = int.from_bytes(self._header[10:18], "big")
        self.rate = bits >> 44
        channels, depth = (bits >> 41 & 7) + 1, (bits >> 36 & 31) + 1
        check_format(self.rate, channels)
        # Encoders store what they cannot compress: with one bit more for the difference of two channels.
        self._largest = int.from_bytes(self._header[2:4], "big") * channels * (depth + 1) // 8 + 256
        self._packets = PacketDecoder(Encoding.FLAC, "flac", self._header)
        self._data = self._data[position:]
        return True

    def _complete(self) -> Iterator[bytes]:
        """Cuts off the frames that are complete. Raises InvalidAudio where none begins or ends."""
        if len(self._data) >= 16 and not flac_header_length(self._data, 0):
            raise damaged(Encoding.FLAC)
        while (end := self._next_header()) is not None:
            yield self._data[:end]
            self._data, self._searched = self._data[end:], 1
        if len(self._data) > self._largest:
            raise damaged(Encoding.FLAC)

    def _next_header(self) -> int | None:
        """Where the next frame begins.

        The pattern of a header may occur inside a frame: its CRC and the number that follows this frame's tell.
        """
        sync = self._data[:2]
        position = self._data.find(sync, self._searched)
        while 0 <= position <= len(self._data) - 16:
            if flac_header_length(self._data, position):
                number, _ = flac_numbers(self._data, position)
                if number == flac_numbers(self._data, 0)[1]:
                    return position
            position = self._data.find(sync, position + 1)
        # A header needs 16 bytes to be judged: the last ones are looked at again.
        self._searched = max(1, len(self._data) - 15)
        return None

    def _decoded(self, packets: Iterator[bytes]) -> Frames:
        assert self._packets is not None
        parts = [frames for packet in packets for frames in self._packets.frames(packet)]
        return np.concatenate(parts) if parts else self._none


class OpusDecoder:
    """Opus in Ogg (RFC 3533, RFC 7845), piece by piece: a packet is complete with its page."""

    def __init__(self) -> None:
        self.rate = 48000
        self._data = b""
        self._serial: int | None = None
        self._packet = b""  # one that goes on in the next page
        self._packets: PacketDecoder | None = None
        self._headers = 0  # header packets that are still to come
        self._preskip = 0  # samples of the encoder's own that precede the audio; FFmpeg drops them
        self._given = 0
        self._end: int | None = None  # samples that there are; the last page says it
        self._none: Frames = np.zeros((0, 1), np.float32)

    def read(self, data: bytes) -> Frames:
        """See Decoder.read."""
        self._data += data
        parts = [frames for packet in self._pages() for frames in self._decoded(packet)]
        return np.concatenate(parts) if parts else self._none

    def finish(self) -> Frames:
        """See Decoder.finish."""
        if self._data or (self._packets is None and self._serial is not None):
            raise damaged(Encoding.OPUS)
        return self._none

    def _pages(self) -> Iterator[bytes]:
        """The packets of the pages that are complete. Raises InvalidAudio where no page begins."""
        while len(self._data) >= 27:
            if self._data[:5] != b"OggS\0":
                raise damaged(Encoding.OPUS)
            count = self._data[26]
            table = self._data[27 : 27 + count]
            end = 27 + count + sum(table)
            if len(table) < count or len(self._data) < end:
                return
            page, self._data = self._data[:end], self._data[end:]
            yield from self._of_page(page, table)
        if not b"OggS".startswith(self._data[:4]):
            raise damaged(Encoding.OPUS)

    def _of_page(self, page: bytes, table: bytes) -> Iterator[bytes]:
        begins, serial = bool(page[5] & 2), struct.unpack_from("<I", page, 14)[0]
        position = 27 + len(table)
        if begins and page[position : position + 8] == b"OpusHead":
            # The first stream, or another one after it ended: files may be chained.
            self._serial, self._packets, self._headers, self._packet = serial, None, 2, b""
        if serial != self._serial:
            if self._serial is None and page[position : position + 8] != b"OpusHead" and not begins:
                raise damaged(Encoding.OPUS)
            return
        if page[5] & 4:
            self._end = struct.unpack_from("<q", page, 6)[0] - self._preskip
        if not page[5] & 1:
            self._packet = b""
        for length in table:
            self._packet += page[position : position + length]
            position += length
            if length < 255:
                yield self._packet
                self._packet = b""
        if len(self._packet) > LONGEST_FRAME:
            raise damaged(Encoding.OPUS)

    def _decoded(self, packet: bytes) -> Iterator[Frames]:
        if self._headers:
            self._headers -= 1
            if self._packets is None:
                self._start(packet)
            return
        assert self._packets is not None
        for frames in self._packets.frames(packet):
            kept = frames if self._end is None else frames[: max(0, self._end - self._given)]
            self._given += len(kept)
            yield kept

    def _start(self, head: bytes) -> None:
        if len(head) < 19 or head[8] >> 4:
            raise damaged(Encoding.OPUS)
        check_format(self.rate, head[9])
        self._preskip, self._given, self._end = struct.unpack_from("<H", head, 10)[0], 0, None
        self._packets = PacketDecoder(Encoding.OPUS, "opus", head)
