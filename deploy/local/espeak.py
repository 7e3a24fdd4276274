"""Speaks a text into a WAV file, with eSpeak NG from the `espeakng-loader` wheel: spoken questions for demo and tests.

    python -m deploy.local.espeak TEXT FILE.wav [--voice en-us] [--rate 160]

eSpeak NG is GPL: it runs in a process of its own and is no part of any service. Its library has one global state, one
more reason for a process each time. API: https://github.com/espeak-ng/espeak-ng, src/include/espeak-ng/speak_lib.h.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

AUDIO_OUTPUT_SYNCHRONOUS = 2
DONT_EXIT = 0x8000
RATE_PARAMETER = 1
UTF8 = 1


class _Voice(ctypes.Structure):
    """`espeak_VOICE`: by its languages a voice is found that is not called after one, as British English."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


def synthesise(text: str, path: Path, *, voice: str = "en-us", rate: int = 160) -> Path:
    """Speaks `text` into the WAV file `path` (mono, 16 bit, 22050 Hz) and returns it.

    Args:
        text: What to say.
        path: The file to write.
        voice: A voice or a variant of eSpeak NG: en-us, en-gb, vi, en-us+f3.
        rate: Words a minute.

    Raises:
        RuntimeError: the voice does not exist, or the library is missing.
    """
    arguments = [sys.executable, "-m", "deploy.local.espeak", text, str(path), "--voice", voice, "--rate", str(rate)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=False
    )
    if done.returncode:
        raise RuntimeError(f"eSpeak NG could not speak: {done.stderr.strip().splitlines()[-1:]}")
    return path


def converse(turns: Sequence[tuple[str, str]], path: Path, *, pause: float = 0.4, rate: int = 160) -> Path:
    """Speaks a conversation into the WAV file `path` (as `synthesise`) and returns it.

    Args:
        turns: Who speaks, as a voice, and what is said.
        path: The file to write.
        pause: Silence behind each turn, in seconds.
        rate: Words a minute.

    Raises:
        RuntimeError: as `synthesise`.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        spoken = list(
            pool.map(
                lambda turn: synthesise(turn[1][1], Path(folder) / f"{turn[0]}.wav", voice=turn[1][0], rate=rate),
                enumerate(turns),
            )
        )
        with wave.open(str(path), "wb") as whole:
            for number, part in enumerate(spoken):
                with wave.open(str(part), "rb") as file:
                    if number == 0:
                        whole.setparams(file.getparams())
                    whole.writeframes(file.readframes(file.getnframes()))
                    whole.writeframes(bytes(2 * int(pause * file.getframerate())))
    return path


def _speak(text: str, voice: str, rate: int) -> tuple[bytes, int]:
    """The samples as 16-bit little-endian bytes, and their rate."""
    import espeakng_loader  # only the process that speaks may load it

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    hertz = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), DONT_EXIT)
    if hertz <= 0:
        raise SystemExit("the library could not be initialised")
    spoken = bytearray()

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count > 0:
            spoken.extend(ctypes.string_at(samples, count * 2))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(collect)
    library.espeak_SetSynthCallback(callback)
    name = voice.encode()
    if (
        library.espeak_SetVoiceByName(name) != 0
        and library.espeak_SetVoiceByProperties(ctypes.byref(_Voice(languages=name))) != 0
    ):
        raise SystemExit(f"there is no voice {voice!r}")
    library.espeak_SetParameter(RATE_PARAMETER, rate, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF8, None, None)
    library.espeak_Synchronize()
    return bytes(spoken), hertz


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text")
    parser.add_argument("path", type=Path)
    parser.add_argument("--voice", default="en-us")
    parser.add_argument("--rate", type=int, default=160, help="words a minute")
    options = parser.parse_args()
    samples, hertz = _speak(options.text, options.voice, options.rate)
    with wave.open(str(options.path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hertz)
        file.writeframes(samples)


if __name__ == "__main__":
    main()
