"""Measures speech recognition: python -m bench.asr [--quick].

Figures from this one run on this machine, through a real Triton and the real service called by its stub:

- word error rate on read English, beside pocketsphinx's own in free mode. Words are compared in lower case without
  punctuation; hyphens separate words; nothing else is normalised.
- the pipeline's time over the decoder's own: a recording with one stretch of speech, so that nothing overlaps, against
  the compute time that Triton counted for the recognition model in the same calls.
- two workers over one: how much faster two recordings are done at once than one after the other, each of them one
  stretch of speech, which one instance of the model recognises. A long recording has its segments recognised side by
  side and takes all cores alone; how much faster than its compute time that is, is printed too.
- what diarization adds: the time of a conversation with speakers told apart over that without, measured in turns.
- memory: the highest resident size (VmHWM) of a service process of its own that transcribes 3 hours, over that of one
  that transcribes 10 minutes, both with speakers. Two voices speak a fifth of the time; the rest is silence, so that
  this takes minutes. Audio is held whether somebody speaks or not. --quick leaves it out.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from deploy.local import ports
from deploy.local.espeak import synthesise
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.asr.decode import decode
from services.asr.models import sixteen_bit
from services.mesh import channels
from services.mesh.triton import Triton
from tests.asr.stack import SPEECH, RealTriton, serve_asr
from tests.conftest import ROOT
from triton_models.repository import cores, profile

BASELINE = 29.4  # % on the sets kept apart, free mode, from the data's README
ROUNDS = 7
RATE = 16000
PERIOD = 60
"""Seconds after which the recording for the measurement of memory begins again."""
SPOKEN = 0.2
"""Share of it in which somebody speaks."""
VOICES = ("en-us+m3", "en-us+f3")
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


async def added(stub: Any, triton: Triton, audio: bytes) -> tuple[float, float]:
    """What diarization adds, the recording being transcribed in turns with it and without.

    Returns:
        The median time with it over that without, and the diarizer's compute time over the recogniser's.
    """
    plain = asr_pb2.RecognizeRequest(audio=audio)
    apart = asr_pb2.RecognizeRequest(
        audio=audio, config=asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig())
    )
    ratios, shares = [], []
    for _ in range(ROUNDS // 2):
        started = time.perf_counter()
        await stub.Recognize(plain)
        one = time.perf_counter() - started
        before = [(await triton.statistics(model)).compute_seconds for model in ("diarizer", "pocketsphinx")]
        started = time.perf_counter()
        await stub.Recognize(apart)
        ratios.append((time.perf_counter() - started) / one)
        after = [(await triton.statistics(model)).compute_seconds for model in ("diarizer", "pocketsphinx")]
        shares.append((after[0] - before[0]) / (after[1] - before[1]))
    return statistics.median(ratios), statistics.median(shares)


def conversation(folder: Path, seconds: float) -> NDArray[np.int16]:
    """Two voices that take turns, as 16-bit samples at 16 kHz."""
    turns = []
    for place, voice in enumerate(VOICES):
        path = synthesise(QUESTION, folder / f"voice{place}.wav", voice=voice)
        turns.append(sixteen_bit(np.concatenate(list(decode(path, 60))).reshape(-1)))
        turns.append(np.zeros(RATE, np.int16))
    joined = np.concatenate(turns)
    return np.tile(joined, -(-round(seconds * RATE) // len(joined)))[: round(seconds * RATE)]


def file_of(samples: NDArray[np.int16], repetitions: int = 1) -> bytes:
    """An Opus file that says the same again and again."""
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as target:
        stream: Any = target.add_stream("libopus", rate=48000, layout="mono", bit_rate=16000)
        resampler = av.AudioResampler(stream.format, stream.layout, 48000)
        for _ in range(repetitions):
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = RATE
            for part in resampler.resample(frame):
                part.pts = None
                target.mux(stream.encode(part))
        for part in resampler.resample(None):
            part.pts = None
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return out.getvalue()


@contextmanager
def service(triton: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A service process of its own, which keeps what it stores in a folder; yields it and its address."""
    port = ports.free(1)[0]
    environment = os.environ | {
        "PARLEY_ASR_LISTEN": f"127.0.0.1:{port}",
        "PARLEY_ASR_TRITON_TARGET": triton,
        "PARLEY_ASR_DATABASE_URL": f"sqlite:///{folder / 'asr.db'}",
        "PARLEY_ASR_RECORDINGS_URL": str(folder / "recordings"),
    }
    command = [sys.executable, "-m", "services.asr"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process, f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def highest(pid: int) -> float:
    """The highest resident size that a process had, in MB."""
    (size,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(size) / 1000


async def peak(triton: str, folder: Path, audio: bytes) -> tuple[float, float, int]:
    """Highest resident size in MB of a process that transcribes a recording, its time in seconds, and the speakers."""
    hints = asr_pb2.RecognitionHints(grammar=f"#JSGF V1.0; grammar g; public <s> = {QUESTION};")
    wanted = asr_pb2.RecognitionConfig(diarization=asr_pb2.DiarizationConfig(), hints=hints)
    with service(triton, folder) as (process, address):
        async with channels.channel(address) as made:
            stub: Any = asr_pb2_grpc.SpeechRecognitionStub(made)
            started = time.perf_counter()
            request = asr_pb2.RecognizeRequest(audio=audio, config=wanted)
            answer = await stub.Recognize(request, timeout=3600, wait_for_ready=True)
            elapsed = time.perf_counter() - started
        return highest(process.pid), elapsed, len(answer.transcript.speakers)


async def memory(server: RealTriton, folder: Path) -> None:
    """Measures memory and prints."""
    speech = conversation(folder, PERIOD * SPOKEN)
    minute = np.concatenate([speech, np.zeros(PERIOD * RATE - len(speech), np.int16)])
    sizes = {}
    for minutes in (10, 180):
        audio = await asyncio.to_thread(file_of, minute, minutes * 60 // PERIOD)
        sizes[minutes], elapsed, speakers = await peak(server.target, folder, audio)
        print(
            f"asr: {minutes:3d} minutes ({len(audio) / 1e6:.0f} MB) take {sizes[minutes]:.0f} MB at most, "
            f"{elapsed:.0f} s; {speakers} speakers of {len(VOICES)} found; somebody speaks {SPOKEN:.0%} of the time",
            flush=True,
        )
    print(f"asr: peak memory, 3 hours / 10 minutes      {sizes[180] / sizes[10]:.2f}   (goal <= 1.5)", flush=True)


async def main(quick: bool) -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        spoken = synthesise(QUESTION, folder / "question.wav").read_bytes()
        server = RealTriton(profile("embedded"), folder)
        server.start()
        client = Triton(server.target)
        try:
            if not quick:
                await memory(server, folder)
            async with serve_asr(server) as address, channels.channel(address) as made:
                stub: Any = asr_pb2_grpc.SpeechRecognitionStub(made)

                async def recognise(audio: bytes) -> str:
                    answer = await stub.Recognize(asr_pb2.RecognizeRequest(audio=audio))
                    return str(answer.transcript.text)

                await asyncio.gather(*(recognise(spoken) for _ in range(2 * cores())))  # models load at first use
                ratio, share = await added(stub, client, file_of(conversation(folder, 60)))
                print(f"asr: with speakers told apart / without     {ratio:.3f}  (goal <= 1.05)")
                print(f"asr: diarizer's compute / recogniser's      {share:.3f}", flush=True)
                await report(recognise, client, spoken)
        finally:
            await client.close()
            server.stop()


async def report(recognise: Callable[[bytes], Awaitable[str]], client: Triton, spoken: bytes) -> None:
    """Measures and prints."""
    ratio = await overhead(recognise, client, spoken)
    print(f"asr: pipeline time / decoder compute time   {ratio:.3f}  (goal <= 1.10)", flush=True)
    ratio = await together(recognise, spoken)
    print(f"asr: two recordings at once / one           {ratio:.2f}   (goal <= 1.2 with 2 cores; here {cores()})")
    print(f"asr: two workers / one, recordings a second {2 / ratio:.2f}   (goal >= 1.7)", flush=True)
    if not SPEECH.is_dir():
        print("asr: no word error rate: the development data is not beside this repository")
        return
    rate, factor = await error_rate(recognise)
    print(f"asr: word error rate, read English          {rate:.1f}%  (pocketsphinx free mode elsewhere: {BASELINE}%)")
    print(f"asr: real-time factor                       {factor:.2f}")
    opus = (SPEECH / "formats" / "whisperdiar_opus.opus").read_bytes()
    print(f"asr: the same for 23 s in several segments  {await overhead(recognise, client, opus):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave the measurement of memory out")
    asyncio.run(main(parser.parse_args().quick))
