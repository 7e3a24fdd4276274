"""Measures live recognition: python -m bench.live.

Recordings are sent as a microphone would, in blocks of 0.1 s in real time, through the real service and a real Triton:

- interim results: from the moment when the last block that a result covers was sent until the result is there.
- final results: from the moment when the end of the speech was sent until the result is there. The end of speech is
  measured on the signal, not by the service's own detector: the last 10 ms within 30 dB of the segment's loudest.
- word error rate of what the finals say, beside that of the same recordings sent whole: what being cut apart costs.
- long speech: interim results in the last quarter of a recording of a minute over those in its first quarter.
- speakers, where a diarizer is loaded: the share of words whose speaker is right, as first told and as finally revised,
  under the best one-to-one assignment of ids to people.
- capacity: several streams at once in real time; the latencies again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.asr import distance, words
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.asr.decode import decode
from services.asr.models import RATE, Samples, sixteen_bit
from services.mesh import channels
from tests.asr.stack import SPEECH, RealTriton, serve_asr
from triton_models.repository import cores, profile

BLOCK = RATE // 10
PAUSE = RATE  # silence after a recording: nobody hangs up with the last word
FRAME = RATE // 100
RANGE = 10 ** (-30 / 20)
GOALS = {"interim": 300, "final": 500}

Stub = Any  # the generated stubs are typed for the synchronous API


@dataclass
class Run:
    """What one stream gave."""

    interim: list[float] = field(default_factory=list)
    """Latencies in seconds."""
    final: list[float] = field(default_factory=list)
    when: list[float] = field(default_factory=list)
    """The time in the audio that each interim result covers up to."""
    segments: dict[int, Any] = field(default_factory=dict)
    """The final segments by number."""
    revised: dict[int, str] = field(default_factory=dict)
    """The speakers in the end."""

    @property
    def text(self) -> str:
        """All that was said."""
        return " ".join(segment.text for segment in self.segments.values())


def rows(group: str) -> list[dict[str, Any]]:
    """The recordings of a group of the development data."""
    listed = map(json.loads, (SPEECH / "manifest.jsonl").read_text().splitlines())
    return [row for row in listed if row["group"] == group]


def samples(row: dict[str, Any]) -> Samples:
    """A recording, as mono samples at 16 kHz, with silence behind it."""
    audio = np.concatenate(list(decode((SPEECH / row["path"]).read_bytes(), 3600))).mean(axis=1)
    return np.concatenate([audio, np.zeros(PAUSE, np.float32)])


def end_of_speech(audio: Samples, start: float, end: float) -> float:
    """When the last sound of a segment ends, in seconds."""
    begin = round(start * RATE)
    part = audio[begin : round(end * RATE)]
    frames = part[: len(part) // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.sqrt((frames**2).mean(axis=1))
    return (begin + (int(np.flatnonzero(loud >= loud.max() * RANGE)[-1]) + 1) * FRAME) / RATE


async def listen(stub: Stub, audio: Samples, config: asr_pb2.StreamingConfig, speed: float = 1.0) -> Run:
    """Sends audio as it would be spoken, and takes the results."""
    sent: list[float] = []  # when each block was
    data = sixteen_bit(audio)

    async def requests() -> AsyncIterator[asr_pb2.StreamingRecognizeRequest]:
        yield asr_pb2.StreamingRecognizeRequest(config=config)
        began = time.perf_counter()
        for number, start in enumerate(range(0, len(data), BLOCK)):
            await asyncio.sleep(began + (number + 1) * BLOCK / RATE / speed - time.perf_counter())
            sent.append(time.perf_counter())
            yield asr_pb2.StreamingRecognizeRequest(audio=data[start : start + BLOCK].tobytes())

    def at(seconds: float) -> float:
        return sent[min(len(sent) - 1, max(0, int(np.ceil(seconds * RATE / BLOCK)) - 1))]

    run = Run()
    async for answer in stub.StreamingRecognize(requests()):
        now = time.perf_counter()
        segment = answer.result.segment
        match answer.WhichOneof("event"):
            case "revision":
                run.revised |= {part.number: part.speaker for part in answer.revision.segments}
            case "result" if answer.result.is_final:
                run.segments[segment.number] = segment
                run.revised[segment.number] = segment.speaker
                run.final.append(now - at(end_of_speech(audio, segment.start, segment.end)))
            case "result":
                run.interim.append(now - at(segment.end))
                run.when.append(segment.end)
    return run


def told(name: str, values: Sequence[float], goal: int) -> None:
    """Prints median and 95th percentile, in milliseconds."""
    if not values:
        print(f"live: {name:34} none")
        return
    tail = sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]
    median = statistics.median(values)
    print(
        f"live: {name:34} median {1000 * median:4.0f} ms, p95 {1000 * tail:4.0f} ms, {len(values)} results"
        f"  (goal: median <= {goal} ms)"
    )


def latencies(name: str, runs: Sequence[Run]) -> None:
    """Prints the latencies of streams."""
    told(f"interim, {name}", [value for run in runs for value in run.interim], GOALS["interim"])
    told(f"final, {name}", [value for run in runs for value in run.final], GOALS["final"])


def error_rate(references: Sequence[str], found: Sequence[str]) -> float:
    """Word error rate in percent."""
    pairs = [(words(reference), words(text)) for reference, text in zip(references, found, strict=True)]
    return 100 * sum(distance(*pair) for pair in pairs) / sum(len(reference) for reference, _ in pairs)


async def dictation(stub: Stub, count: int) -> None:
    """Latencies and word error rate on read speech, one stream at a time."""
    chosen = rows("asr")[:count]
    audios = [samples(row) for row in chosen]
    references = [row["text"] for row in chosen]
    config = asr_pb2.StreamingConfig(interim_results=True)
    runs = [await listen(stub, audio, config) for audio in audios]
    latencies("one stream", runs)
    whole = []
    for row in chosen:
        request = asr_pb2.RecognizeRequest(audio=(SPEECH / row["path"]).read_bytes())
        whole.append((await stub.Recognize(request)).transcript.text)
    longer = [await listen(stub, audio, asr_pb2.StreamingConfig(endpoint_silence=0.6), speed=20) for audio in audios]
    print(
        f"live: word error rate {error_rate(references, [run.text for run in runs]):.1f}%"
        f" in {sum(len(run.segments) for run in runs)} segments;"
        f" {error_rate(references, [run.text for run in longer]):.1f}%"
        f" in {sum(len(run.segments) for run in longer)} with 0.6 s of silence between them;"
        f" {error_rate(references, whole):.1f}% sent whole"
    )


async def long_speech(stub: Stub) -> None:
    """Whether latency grows with the length of a stream."""
    audio = np.concatenate([samples(row)[:-PAUSE] for row in rows("asr")[:12]])[: 60 * RATE]
    run = await listen(stub, audio, asr_pb2.StreamingConfig(interim_results=True, endpoint_silence=5))
    quarters = [[], []]  # type: list[list[float]]
    for when, value in zip(run.when, run.interim, strict=True):
        if when < 15 or when >= 45:
            quarters[when >= 45].append(value)
    early, late = map(statistics.median, quarters)
    print(
        f"live: a minute without a pause: {1000 * early:.0f} ms in the first quarter, {1000 * late:.0f} ms in the last"
    )
    told("interim, a minute without a pause", run.interim, GOALS["interim"])


async def together(stub: Stub, streams: int) -> None:
    """Latencies of several streams at once."""
    audios = [samples(row) for row in rows("asr")[:streams]]
    config = asr_pb2.StreamingConfig(interim_results=True)
    latencies(f"{streams} streams at once", await asyncio.gather(*(listen(stub, audio, config) for audio in audios)))


def who(row: dict[str, Any]) -> list[tuple[float, float, str]]:
    """The turns of a recording: start, end, speaker."""
    lines = (line.split() for line in (SPEECH / row["rttm"]).read_text().splitlines() if line.startswith("SPEAKER"))
    return [(float(parts[3]), float(parts[3]) + float(parts[4]), parts[7]) for parts in lines]


def right(turns: Sequence[tuple[float, float, str]], said: Sequence[tuple[float, str]]) -> tuple[int, int]:
    """How many words have the right speaker, and how many there are that somebody said.

    Args:
        turns: Who speaks when.
        said: The time and the speaker's id of each word.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    total = 0
    for time_, id_ in said:
        speaking = {speaker for start, end, speaker in turns if start <= time_ < end}
        total += bool(speaking)
        for speaker in speaking:
            pairs[id_, speaker] += 1
    ids, people = ({pair[place] for pair in pairs} for place in (0, 1))
    small, large = sorted((sorted(ids), sorted(people)), key=len)
    turned = len(ids) > len(people)
    best = 0
    for chosen in itertools.islice(itertools.permutations(large, len(small)), 100_000):
        matched = zip(chosen, small, strict=True) if turned else zip(small, chosen, strict=True)
        best = max(best, sum(pairs[pair] for pair in matched))
    return min(best, total), total


async def speakers(stub: Stub, count: int) -> None:
    """The share of words whose speaker is right; two conversations at once for each core."""
    scores = Counter[str]()
    config = asr_pb2.StreamingConfig(config=asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig()))
    listed = rows("diar")
    chosen = listed[:: max(1, len(listed) // count)]
    limit = asyncio.Semaphore(2 * cores())

    async def one(row: dict[str, Any]) -> Run:
        async with limit:
            return await listen(stub, samples(row), config)

    runs = await asyncio.gather(*map(one, chosen))
    for row, run in zip(chosen, runs, strict=True):
        turns = who(row)
        heard = [(number, word) for number, segment in run.segments.items() for word in segment.words]
        said = {
            "first": [((word.start + word.end) / 2, word.speaker) for _, word in heard],
            "revised": [((word.start + word.end) / 2, run.revised[number]) for number, word in heard],
        }
        for name, of_words in said.items():
            good, total = right(turns, of_words)
            scores[name] += good
            scores[f"{name} total"] += total
        scores["segments"] += len(run.segments)
        scores["changed"] += sum(run.segments[n].speaker != id_ for n, id_ in run.revised.items())
    print(
        f"live: words with the right speaker         first {scores['first'] / scores['first total']:.1%}, finally"
        f" {scores['revised'] / scores['revised total']:.1%} of {scores['first total']};"
        f" {scores['changed']} of {scores['segments']} segments revised"
    )


async def main(asked: argparse.Namespace) -> None:
    """Prints the figures."""
    if not SPEECH.is_dir():
        print("live: the development data is not beside this repository: nothing to measure")
        return
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        server = RealTriton(profile("embedded"), Path(name))
        server.start()
        try:
            async with serve_asr(server) as address, channels.channel(address) as made:
                stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(made)
                warm = samples(rows("asr")[0])
                await asyncio.gather(*(listen(stub, warm, asr_pb2.StreamingConfig(), 20) for _ in range(2 * cores())))
                await dictation(stub, asked.files)
                await long_speech(stub)
                await together(stub, asked.streams)
                if asked.conversations:
                    await speakers(stub, asked.conversations)
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=10, help="recordings of read speech")
    parser.add_argument("--streams", type=int, default=4, help="streams at once")
    parser.add_argument("--conversations", type=int, default=22, help="conversations with several speakers")
    asyncio.run(main(parser.parse_args()))
