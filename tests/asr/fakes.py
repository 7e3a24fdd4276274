"""A model server at the far edge that hears tones: who speaks and what is said follows from the samples alone.

A word is a burst of two tones: a low one that says whose voice it is, and a high one that says which word. So what the
pipeline must find out is known exactly, and the same samples always give the same.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.asr.models import RATE, DiarizationHints, Diarized, Heard, Integers, Samples, sixteen_bit
from services.asr.openai import AudioServicer
from services.asr.pipeline import Options, Pipeline
from services.asr.recognise import Recogniser
from services.asr.servicer import SpeechServicer
from services.asr.settings import AsrSettings
from services.asr.transcript import Alternative, Word
from services.mesh import errors, server
from services.mesh.server import Bound

WORD = 0.32
GAP = 0.08
VOICES = 24
SILENCE = 0.02


def spoken(voice: int, *words: int) -> Samples:
    """Words in a voice: numbers from 0."""
    time = np.arange(round(WORD * RATE)) / RATE
    parts = []
    for word in words:
        low, high = 300 + 50 * voice, 2500 + 50 * word
        parts.append(0.3 * np.sin(2 * np.pi * low * time) + 0.15 * np.sin(2 * np.pi * high * time))
        parts.append(np.zeros(round(GAP * RATE)))
    joined: Samples = np.concatenate(parts).astype(np.float32)
    return joined


def quiet(seconds: float) -> Samples:
    """Silence."""
    return np.zeros(round(seconds * RATE), np.float32)


def talk(*turns: tuple[int, Sequence[int]], pause: float = 1.4) -> Samples:
    """Turns of voices with words, with pauses after them that end a segment."""
    return np.concatenate([part for voice, words in turns for part in (spoken(voice, *words), quiet(pause))])


def recording(*channels: Samples) -> bytes:
    """A WAV file."""
    out = io.BytesIO()
    frames = np.stack(channels, axis=1)
    with wave.open(out, "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((frames * 32767).astype("<i2").tobytes())
    return out.getvalue()


def bursts(samples: Samples) -> list[tuple[float, float, int, int]]:
    """Start, end, voice and word of each burst."""
    loud = np.abs(samples) > SILENCE
    smooth = np.convolve(loud, np.ones(320), "same") > 10
    edges = np.flatnonzero(np.diff(np.concatenate([[0], smooth.astype(np.int8), [0]])))
    found = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start < 0.15 * RATE:  # cut off
            continue
        part = samples[start:end]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), RATE))
        voice = round((np.argmax(spectrum[200:2000]) + 200 - 300) / 50)
        word = round((np.argmax(spectrum[2300:]) + 2300 - 2500) / 50)
        found.append((start / RATE, end / RATE, voice, word))
    return found


class ToneEngine:
    """An engine that hears tones.

    Args:
        missing: Models that are not loaded.
        delay: Seconds that recognising a segment takes.
    """

    def __init__(self, missing: Sequence[str] = (), delay: float = 0.0) -> None:
        self.missing, self.delay = set(missing), delay
        self.heard: list[str] = []
        """The models that were asked to recognise."""
        self.asked: list[DiarizationHints] = []
        """What was asked of the diarizer."""
        self.broken_after: int | None = None
        """How many segments are recognised before the server goes away."""
        self.texts: dict[str, str] = {}
        """What the enhancer makes of a text."""

    async def speech(self, samples: Samples, state: Samples | None) -> tuple[Samples, Samples]:
        """Speech is what is loud."""
        loud = np.abs(samples.reshape(-1, 512)).max(axis=1) > SILENCE
        return np.where(loud, 0.9, 0.0).astype(np.float32), np.zeros(1, np.float32)

    async def hear(
        self,
        model: str,
        samples: Samples,
        language: str,
        hints: bytes,
        *,
        translate: bool = False,
        alternatives: int = 0,
    ) -> Heard:
        """The words are w0, w1 …."""
        if self.broken_after is not None and len(self.heard) >= self.broken_after:
            raise errors.Unavailable("The model server cannot be reached.")
        self.heard.append(model)
        await asyncio.sleep(self.delay)
        words = tuple(Word(f"w{word}", start, end, 0.9) for start, end, _, word in bursts(samples))
        text = " ".join(word.text for word in words)
        others = tuple(Alternative(f"{text} {number}", 0.5) for number in range(alternatives))
        return Heard(text, language or "en-US", words, others)

    async def diarize(
        self,
        model: str,
        samples: Samples | Integers,
        hints: DiarizationHints,
        known: Samples | None,
        speech: Samples | None = None,
    ) -> Diarized:
        """A voice is its tone; more voices than allowed are taken for the one found first."""
        samples = sixteen_bit(samples).astype(np.float32) / 32768
        self.asked.append(hints)
        centroids = [] if known is None else list(known)
        turns, seconds = [], [0.0] * len(centroids)
        most = hints.speakers or hints.max_speakers
        for start, end, voice, _ in bursts(samples):
            own = np.zeros(VOICES, np.float32)
            own[voice] = 1
            place = next((i for i, centroid in enumerate(centroids) if centroid @ own > 0.5), None)
            if place is None and most and len(centroids) >= most:
                place = 0
            if place is None:
                place = len(centroids)
                centroids.append(own)
                seconds.append(0.0)
            turns.append((start, end, place))
            seconds[place] += end - start
        rows = np.stack(centroids) if centroids else np.zeros((0, VOICES), np.float32)
        return Diarized(tuple(turns), rows, tuple(seconds))

    async def enhance(self, model: str, texts: Sequence[str], language: str) -> list[str]:
        """Capitals and full stops, or what `texts` says."""
        return [self.texts.get(text, f"{text.capitalize()}.") for text in texts]

    async def ready(self, model: str) -> bool:
        """All but the missing ones."""
        return model not in self.missing


def pipeline(engine: ToneEngine, chunk: float = 600.0, in_flight: int = 2, model: str = "pocketsphinx") -> Pipeline:
    """A pipeline on that engine."""
    return Pipeline(Recogniser(engine, model, 4 * 3600.0, in_flight), Options(chunk_seconds=chunk))


@asynccontextmanager
async def serve(engine: ToneEngine, model: str = "pocketsphinx") -> AsyncIterator[str]:
    """The real service in front of that engine; yields host:port."""
    made = pipeline(engine, model=model)
    no_live: Any = None  # these servers are asked for recordings alone
    bound = [
        Bound(
            asr_pb2_grpc.add_SpeechRecognitionServicer_to_server,
            SpeechServicer(made, no_live),
            asr_pb2.DESCRIPTOR.services_by_name["SpeechRecognition"],
        ),
        Bound(
            openai_pb2_grpc.add_AudioServiceServicer_to_server,
            AudioServicer(made),
            openai_pb2.DESCRIPTOR.services_by_name["AudioService"],
        ),
    ]
    async with server.running(AsrSettings(drain_seconds=1), bound) as address:
        yield address
