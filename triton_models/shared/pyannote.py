"""Speaker diarization with pyannote.audio (H. Bredin, "pyannote.audio 2.1 speaker diarization pipeline", 2023).

Loads a pipeline's `config.yaml` as it is on the model hub, with its checkpoints beside it, and asks nobody else for
anything: no hub, no telemetry.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from triton_models.shared import turns
from triton_models.shared.errors import CancelledError, InputError
from triton_models.shared.torch_device import choose
from triton_models.shared.worker_process import Answer, Request

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # read when imported; without it every call is reported to its makers
with warnings.catch_warnings():
    # It regrets that it cannot decode files (torchcodec needs ffmpeg); what comes here is decoded.
    warnings.simplefilter("ignore")
    from pyannote.audio import Pipeline
    from pyannote.audio.core.plda import PLDA

RATE = 16000
SHORTEST = RATE // 4  # samples; in less there is no voice to tell apart
MOST_SPEAKERS = 64
HINTS = {"speakers": "num_speakers", "min_speakers": "min_speakers", "max_speakers": "max_speakers"}


class Unused(PLDA):  # type: ignore[misc]  # pyannote is not seen by the type checker
    """Stands for the PLDA that the pipeline's class fetches from the hub though only its VBx clustering uses one."""

    def __init__(self) -> None:
        """Loads nothing."""


class Diarizer:
    """A pyannote.audio pipeline from `<model_directory>/<name>/config.yaml`.

    Args:
        parameters: `name`, `model_directory`, `device` and `known_similarity`, as in config.pbtxt.

    Raises:
        FileNotFoundError: the directory lacks the configuration or a checkpoint that it names.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        directory = Path(parameters["model_directory"]) / parameters["name"]
        if not parameters["model_directory"] or not (directory / "config.yaml").is_file():
            raise FileNotFoundError(f"{directory} holds no config.yaml; put a pyannote.audio pipeline there")
        self._pipeline = Pipeline.from_pretrained(configuration(directory))
        self._pipeline.to(choose(parameters.get("device", ""))[0])
        self._shortest = int(self._pipeline._embedding.min_num_samples)
        self._similarity = float(parameters.get("known_similarity") or 0.6)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """See `worker_process.Model`."""
        answers: list[Answer] = []
        for request in requests:
            try:
                answers.append(self._answer(request))
            except (InputError, CancelledError) as error:
                answers.append(error)
        return answers

    def _answer(self, request: Request) -> dict[str, Any]:
        samples = request.array("samples")
        if samples is None or samples.size == 0:
            raise InputError("samples: there must be at least one")
        hints, known = _hints(request), self._known(request)
        waveform = samples.reshape(-1).astype(np.float32) / 32768
        if len(waveform) < SHORTEST or not waveform.any():
            return _outputs([], [], turns.unit(known))

        def watch(*_: Any, **__: Any) -> None:
            if request.cancelled():
                raise CancelledError

        with warnings.catch_warnings():
            # That there are fewer voices than asked for, and averages over none where nobody speaks for long.
            warnings.simplefilter("ignore")
            file = {"waveform": torch.from_numpy(waveform)[None], "sample_rate": RATE, "uri": "audio"}
            found = self._pipeline(file, hook=watch, **hints)
        return self._speakers(found, turns.unit(known), waveform)

    def _known(self, request: Request) -> turns.Rows:
        """The embeddings of known speakers, [k, d]. Raises InputError where they are not this pipeline's."""
        size = int(self._pipeline._embedding.dimension)
        known = request.array("known")
        if known is None or known.size == 0:
            return np.zeros((0, size), np.float32)
        if known.ndim != 2 or known.shape[1] != size or not np.isfinite(known).all():
            raise InputError(f"known: rows of {size} numbers, as this model's own `centroids` are")
        return known

    def _speakers(self, found: Any, known: turns.Rows, waveform: NDArray[np.float32]) -> dict[str, Any]:
        """The outputs for what the pipeline found, its speakers numbered after the known ones."""
        spoken = [
            (max(0.0, segment.start), min(segment.end, len(waveform) / RATE), label)
            for segment, _, label in found.speaker_diarization.itertracks(yield_label=True)
        ]
        everything = sorted(turn for turn in spoken if turn[1] > turn[0])
        labels = found.speaker_diarization.labels()
        voices = turns.unit(np.asarray(found.speaker_embeddings, np.float32).reshape(len(labels), known.shape[1]))
        for row in np.flatnonzero(~voices.any(axis=1)):
            voices[row] = self._voice([turn for turn in everything if turn[2] == labels[row]], waveform)
        # Who has no voice of their own was only heard below others: that counts as overlap, and as nobody's turn.
        heard = np.flatnonzero(voices.any(axis=1))
        numbers = turns.match(voices[heard], known, self._similarity)
        number = {labels[row]: mine for row, mine in zip(heard, numbers, strict=True)}
        centroids = np.zeros((max([len(known), *(mine + 1 for mine in numbers)]), known.shape[1]), np.float32)
        centroids[: len(known)] = known
        centroids[numbers] = voices[heard]
        attributed = [(start, end, number[label]) for start, end, label in everything if label in number]
        return _outputs(attributed, turns.overlap([turn[:2] for turn in everything]), centroids)

    def _voice(self, spoken: Sequence[tuple[float, float, Any]], waveform: NDArray[np.float32]) -> turns.Rows:
        """The embedding of turns that were too short for the pipeline to make one; zeros where they still are."""
        pieces = [waveform[round(start * RATE) : round(end * RATE)] for start, end, _ in spoken]
        voice = np.concatenate([*pieces, np.zeros(0, np.float32)])
        if len(voice) < self._shortest:
            return np.zeros(int(self._pipeline._embedding.dimension), np.float32)
        found: turns.Rows = turns.unit(self._pipeline._embedding(torch.from_numpy(voice)[None, None]))[0]
        return found


def configuration(directory: Path) -> dict[str, Any]:
    """A pipeline's configuration with the checkpoints that lie beside it.

    A checkpoint that the file names as on the hub (`pyannote/segmentation-3.0`, or `$model/segmentation` for one in the
    pipeline's own repository) is looked for in the folder of its last name, then in that of what it is for.

    Raises:
        FileNotFoundError: a checkpoint is not there; the message says where it belongs.
    """
    config: dict[str, Any] = yaml.safe_load((directory / "config.yaml").read_text())
    params = config["pipeline"].setdefault("params", {})
    for name in ("segmentation", "embedding"):
        params[name] = {"checkpoint": str(_checkpoint(directory, name, str(params.get(name, ""))))}
    if params.get("clustering", "VBxClustering") == "VBxClustering":
        params["plda"] = {"checkpoint": str(_checkpoint(directory, "plda", str(params.get("plda", ""))))}
    else:
        params["plda"] = Unused()
    return config


def _checkpoint(directory: Path, purpose: str, named: str) -> Path:
    for folder in dict.fromkeys((named.rpartition("/")[2] or purpose, purpose)):
        if (directory / folder).exists():
            return directory / folder
    raise FileNotFoundError(f"{directory / purpose} is missing: put the {purpose} checkpoint {named} there")


def _hints(request: Request) -> dict[str, int]:
    """How many speakers there are, as the pipeline takes it. Raises InputError."""
    text = request.text("options")
    try:
        options = json.loads(text) if text else {}
        hints = {HINTS[name]: int(value) for name, value in options.items() if name in HINTS and value is not None}
    except (ValueError, AttributeError, TypeError):
        raise InputError("options: not a JSON object with numbers of speakers") from None
    if not all(0 < count <= MOST_SPEAKERS for count in hints.values()):
        raise InputError(f"options: numbers of speakers are between 1 and {MOST_SPEAKERS}")
    if hints.get("min_speakers", 1) > hints.get("max_speakers", MOST_SPEAKERS):
        raise InputError("options.min_speakers: more than max_speakers")
    return hints


def _outputs(
    spoken: Sequence[tuple[float, float, int]], overlap: Sequence[tuple[float, float]], centroids: turns.Rows
) -> dict[str, Any]:
    seconds = np.zeros(len(centroids), np.float32)
    for start, end, speaker in spoken:
        seconds[speaker] += end - start
    return {
        "turns": np.array([turn[:2] for turn in spoken], np.float32).reshape(-1, 2),
        "speakers": np.array([turn[2] for turn in spoken], np.int32),
        "centroids": centroids,
        "seconds": seconds,
        "overlap": np.array(overlap, np.float32).reshape(-1, 2),
    }
