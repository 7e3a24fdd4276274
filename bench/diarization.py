"""Measures speaker diarization: python -m bench.diarization [--files].

On the diar group of the development data, through the real Triton, as many recordings at once as there are cores: the
diarization error rate without a collar and with ±0.25 s, summed over the files of a group; in how many files the number
of speakers is exact; wall time over the length of the audio. Beside each the baseline of the data's README, run here on
the same files. That README's own figures are from another set, which is kept apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from bench.der import Errors, Turn, errors, read_rttm
from bench.diarization_baseline import Baseline
from services.mesh.triton import Triton
from tests.asr.stack import SPEECH, RealTriton
from triton_models.repository import cores

COLLAR = 0.25
GOALS = "goals on the set kept apart: DER 22.0 (12.0 with the collar), speakers exact in 65%, real-time factor <= 0.03"
APART = "there the baseline has:      DER 24.4 (13.9), speakers exact in 50%, real-time factor 0.008"


class Recording(NamedTuple):
    """A recording with what is true of it."""

    name: str
    group: str
    samples: NDArray[np.int16]
    reference: list[Turn]


class Score(NamedTuple):
    """What came of one recording, or of several."""

    plain: Errors = Errors()
    collared: Errors = Errors()
    exact: int = 0
    files: int = 0

    def plus(self, other: Score) -> Score:
        """The sum of the two."""
        return Score(
            self.plain.plus(other.plain),
            self.collared.plus(other.collared),
            self.exact + other.exact,
            self.files + other.files,
        )

    def __str__(self) -> str:
        return (
            f"DER {self.plain.rate:5.1f} ({self.collared.rate:5.1f})   missed {self.share(self.plain.missed):5.1f}"
            f"   invented {self.share(self.plain.invented):4.1f}   confused {self.share(self.plain.confused):5.1f}"
            f"   speakers exact {self.exact}/{self.files}"
        )

    def share(self, seconds: float) -> float:
        """Seconds in percent of all speech."""
        return 100 * seconds / self.plain.total


def recordings() -> list[Recording]:
    """The development data of the diar group."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in (SPEECH / "manifest.jsonl").read_text().splitlines()]
    return [
        Recording(row["id"], row["kind"], decoded(SPEECH / row["path"]), read_rttm(SPEECH / row["rttm"]))
        for row in rows
        if row["group"] == "diar"
    ]


def decoded(path: Path) -> NDArray[np.int16]:
    """A file's audio at 16 kHz, mono."""
    resampler = av.AudioResampler("s16", "mono", 16000)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([part.to_ndarray()[0] for part in [*frames, *resampler.resample(None)]])


def score(recording: Recording, found: Sequence[Turn]) -> Score:
    """Compares what was found with what is true."""
    reference = recording.reference
    exact = len({turn.speaker for turn in found}) == len({turn.speaker for turn in reference})
    return Score(errors(reference, found), errors(reference, found, COLLAR), int(exact), 1)


def report(name: str, scored: Sequence[tuple[Recording, Score]]) -> None:
    """Prints a line for each group, and one for all."""
    groups = sorted({recording.group for recording, _ in scored})
    for group in [*groups, "all"]:
        total = Score()
        for recording, each in scored:
            total = total.plus(each) if group in (recording.group, "all") else total
        print(f"diarization: {name:9s} {group:10s} {total}", flush=True)


async def measure(client: Triton, every: Sequence[Recording]) -> tuple[list[list[Turn]], float]:
    """The turns that the diarizer finds in each recording, and wall time over the length of the audio."""
    at_once = asyncio.Semaphore(cores())

    async def found(recording: Recording) -> list[Turn]:
        async with at_once:
            answer = await client.infer("diarizer", {"samples": recording.samples})
        pairs = zip(answer["turns"], answer["speakers"], strict=True)
        return [Turn(float(start), float(end), str(speaker)) for (start, end), speaker in pairs]

    began = time.perf_counter()
    turns = await asyncio.gather(*map(found, every))
    return list(turns), (time.perf_counter() - began) / (sum(len(each.samples) for each in every) / 16000)


async def main(show_files: bool) -> None:
    """Prints the figures."""
    if not SPEECH.is_dir():
        print("diarization: the development data is not beside this repository")
        return
    every = recordings()
    baseline = Baseline()
    report("baseline", [(each, score(each, baseline.turns(each.samples))) for each in every])
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        server = RealTriton(["diarizer"], Path(folder))
        server.start()
        client = Triton(server.target)
        try:
            turns, factor = await measure(client, every)
        finally:
            await client.close()
            server.stop()
    scored = [(each, score(each, found)) for each, found in zip(every, turns, strict=True)]
    for each, result in scored if show_files else ():
        print(f"    {each.name:10s} {result}")
    report("diarizer", scored)
    print(f"diarization: real-time factor {factor:.4f} on {cores()} cores")
    print(f"diarization: {GOALS}\ndiarization: {APART}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", action="store_true", help="print every file")
    asyncio.run(main(parser.parse_args().files))
