"""Measures speech recognition: python -m bench.asr.

Three figures, each from this one run on this machine, through a real Triton and the real service called by its stub:

- word error rate on read English, beside pocketsphinx's own in free mode. Words are compared in lower case without
  punctuation; hyphens separate words; nothing else is normalised.
- the pipeline's time over the decoder's own: a recording with one stretch of speech, so that nothing overlaps, against
  the compute time that Triton counted for the recognition model in the same calls.
- two recordings at once over one: each with one stretch of speech again. A long recording has its segments recognised
  side by side and takes all cores alone; how much faster than its compute time that is, is printed too.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from deploy.local.espeak import synthesise
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from services.mesh.triton import Triton
from tests.asr.stack import SPEECH, RealTriton, serve_asr
from triton_models.repository import cores, profile

BASELINE = 29.4  # % on the sets kept apart, free mode, from the data's README
ROUNDS = 7
QUESTION = "please show me the names of all customers who ordered more than twenty products in the last year"


def words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    return re.sub(r"[^\w' ]", " ", text.lower()).split()


def distance(reference: list[str], found: list[str]) -> int:
    """Levenshtein's distance between two lists of words."""
    row = list(range(len(found) + 1))
    for i, expected in enumerate(reference, 1):
        above, row[0] = row[0], i
        for j, word in enumerate(found, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (expected != word))
    return row[-1]


async def error_rate(recognise: Callable[[bytes], Awaitable[str]]) -> tuple[float, float]:
    """Word error rate in percent on the asr group, and seconds of work for a second of audio."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in (SPEECH / "manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["group"] == "asr"]
    wrong = total = 0
    started = time.perf_counter()
    for row in rows:
        reference = words(row["text"])
        wrong += distance(reference, words(await recognise((SPEECH / row["path"]).read_bytes())))
        total += len(reference)
    seconds = sum(row["dur"] for row in rows)
    return 100 * wrong / total, (time.perf_counter() - started) / seconds


async def overhead(recognise: Callable[[bytes], Awaitable[str]], triton: Triton, audio: bytes) -> float:
    """Median of the pipeline's time over the compute time of the recognition model."""
    ratios = []
    for _ in range(ROUNDS):
        before = (await triton.statistics("pocketsphinx")).compute_seconds
        started = time.perf_counter()
        await recognise(audio)
        elapsed = time.perf_counter() - started
        ratios.append(elapsed / ((await triton.statistics("pocketsphinx")).compute_seconds - before))
    return statistics.median(ratios)


async def together(recognise: Callable[[bytes], Awaitable[str]], audio: bytes) -> float:
    """Median time of two recordings at once over that of one, the two measured in turns."""
    ratios = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await recognise(audio)
        one = time.perf_counter() - started
        started = time.perf_counter()
        await asyncio.gather(recognise(audio), recognise(audio))
        ratios.append((time.perf_counter() - started) / one)
    return statistics.median(ratios)


async def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        spoken = synthesise(QUESTION, folder / "question.wav").read_bytes()
        server = RealTriton(profile("embedded"), folder)
        server.start()
        client = Triton(server.target)
        try:
            async with serve_asr(server) as address, channels.channel(address) as made:
                stub = asr_pb2_grpc.SpeechRecognitionStub(made)

                async def recognise(audio: bytes) -> str:
                    answer = await stub.Recognize(asr_pb2.RecognizeRequest(audio=audio))
                    return str(answer.transcript.text)

                await asyncio.gather(*(recognise(spoken) for _ in range(2 * cores())))  # models load at first use
                await report(recognise, client, spoken)
        finally:
            await client.close()
            server.stop()


async def report(recognise: Callable[[bytes], Awaitable[str]], client: Triton, spoken: bytes) -> None:
    """Measures and prints."""
    ratio = await overhead(recognise, client, spoken)
    print(f"asr: pipeline time / decoder compute time  {ratio:.3f}  (goal <= 1.10)")
    ratio = await together(recognise, spoken)
    print(f"asr: two recordings at once / one          {ratio:.2f}   (goal <= 1.2 with 2 cores; here {cores()})")
    if not SPEECH.is_dir():
        print("asr: no word error rate: the development data is not beside this repository")
        return
    rate, factor = await error_rate(recognise)
    print(f"asr: word error rate, read English         {rate:.1f}%  (pocketsphinx free mode elsewhere: {BASELINE}%)")
    print(f"asr: real-time factor                      {factor:.2f}")
    opus = (SPEECH / "formats" / "whisperdiar_opus.opus").read_bytes()
    print(f"asr: the same for 23 s in several segments {await overhead(recognise, client, opus):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
