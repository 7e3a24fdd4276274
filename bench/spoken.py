"""Measures spoken database questions: python -m bench.spoken [--voices V …] [--questions N] [--seed S] [--missed].

Random questions about the sample shop (see bench/shop_questions.py) that the embedded engine answers when typed are
spoken by eSpeak NG in several voices at several speeds, and recognised by the real service on a real Triton with the
shop's vocabulary as hints, as chat sends it. For each voice: how many lead to the SQL of the typed question, the word
error rate, and the decoder's compute time over the length of the audio. Synthesised audio is kept for the next run.

The recogniser's settings and the vocabulary's forms were tuned on seed 1: report another one.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.asr import distance
from bench.shop_questions import questions
from deploy.local import sample_shop
from deploy.local.espeak import synthesise
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from services.mesh.errors import ParleyError
from services.mesh.triton import Triton
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.linking.vocabulary import vocabulary
from services.sql.schema import Schema
from services.sql.schemas.introspect import read_schema
from services.sql.target import parse
from tests.asr.stack import RealTriton, serve_asr
from tests.conftest import ROOT
from triton_models.repository import cores, profile

VOICES = ("en-us", "en-us+f2", "en-us+f3", "en-us+m3", "en-gb-x-rp")
RATES = (140, 160, 175)
"""Words a minute."""
CACHE = ROOT / ".parley" / "bench" / "spoken"


class Score(NamedTuple):
    """What was understood in one voice."""

    missed: list[tuple[str, str]]
    """Questions that led to other SQL or none, and what was heard."""
    words_wrong: int
    words: int
    seconds: float
    """Length of the audio."""


class Shop:
    """The sample shop and its engine."""

    def __init__(self, folder: Path) -> None:
        sample_shop.build(folder / "shop.db")
        self.schema: Schema = read_schema(parse(f"sqlite:///{folder / 'shop.db'}", folder))
        self._engine = EmbeddedEngine()

    def sql(self, question: str) -> str:
        """The SQL for a question; empty where there is none."""
        try:
            return self._engine.answer(question, self.schema).sql
        except ParleyError:
            return ""

    def answered(self, seed: int, count: int) -> list[str]:
        """Random questions that have an answer when typed."""
        return list(itertools.islice(filter(self.sql, questions(seed)), count))


def spoken(question: str, voice: str) -> bytes:
    """The question as a WAV file, at a speed that depends on both."""
    key = hashlib.sha256(f"{voice} {question}".encode()).hexdigest()
    path = CACHE / f"{key[:32]}.wav"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        synthesise(question, path, voice=voice, rate=RATES[int(key, 16) % len(RATES)])
    return path.read_bytes()


async def measure(asr: Any, shop: Shop, asked: Sequence[str], voice: str) -> Score:
    """Speaks the questions and compares what comes of them; as many at once as there are cores."""
    config = asr_pb2.RecognitionConfig(hints=asr_pb2.RecognitionHints(phrases=vocabulary(shop.schema)))
    at_once = asyncio.Semaphore(cores())

    async def heard(question: str) -> asr_pb2.Transcript:
        async with at_once:
            audio = await asyncio.to_thread(spoken, question, voice)
            answer = await asr.Recognize(asr_pb2.RecognizeRequest(config=config, audio=audio))
            transcript: asr_pb2.Transcript = answer.transcript
            return transcript

    transcripts = await asyncio.gather(*map(heard, asked))
    pairs = [(question, transcript.text) for question, transcript in zip(asked, transcripts, strict=True)]
    return Score(
        [(question, text) for question, text in pairs if shop.sql(text) != shop.sql(question)],
        sum(distance(question.split(), text.split()) for question, text in pairs),
        sum(len(question.split()) for question in asked),
        sum(transcript.duration for transcript in transcripts),
    )


async def report(voices: Sequence[str], count: int, seed: int, show_missed: bool) -> None:
    """Measures all voices and prints."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        shop = Shop(folder)
        asked = shop.answered(seed, count)
        server = RealTriton(profile("embedded"), folder)
        server.start()
        client = Triton(server.target)
        shares = []
        try:
            async with serve_asr(server) as address, channels.channel(address) as made:
                asr = asr_pb2_grpc.SpeechRecognitionStub(made)
                for voice in voices:
                    before = (await client.statistics("pocketsphinx")).compute_seconds
                    score = await measure(asr, shop, asked, voice)
                    compute = (await client.statistics("pocketsphinx")).compute_seconds - before
                    shares.append(1 - len(score.missed) / len(asked))
                    print(
                        f"spoken: {voice:12s} same SQL {shares[-1]:6.1%}  WER {score.words_wrong / score.words:6.1%}"
                        f"  real-time factor {compute / score.seconds:.2f}",
                        flush=True,
                    )
                    for question, text in score.missed if show_missed else ():
                        print(f"    {question!r} heard as {text!r}")
        finally:
            await client.close()
            server.stop()
    print(f"spoken: all voices   same SQL {sum(shares) / len(shares):6.1%}  ({len(asked)} questions, seed {seed})")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voices", nargs="+", default=VOICES)
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--missed", action="store_true", help="print what was not understood")
    options = parser.parse_args()
    asyncio.run(report(options.voices, options.questions, options.seed, options.missed))


if __name__ == "__main__":
    main()
