"""The whisper model in the real Triton, on a tiny randomly initialised checkpoint in the real format."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ctranslate2.specs import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import Tokenizer, models

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels, errors
from services.mesh.triton import Triton
from tests.asr.stack import RealTriton, serve_asr
from triton_models.repository import present

WIDTH, HEADS, MELS, TEXT, AUDIO = 16, 2, 80, 448, 1500
WORDS = 50257  # tokens of text in the multilingual Whisper; what follows stands in its order too
SPECIAL = [
    *("<|endoftext|>", "<|startoftranscript|>"),
    *(f"<|{code}|>" for code in list(_LANGUAGE_CODES)[:99]),
    *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
    *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
]


def fill(spec: Any) -> None:
    """Gives a specification small random weights."""
    random = np.random.default_rng(7)

    def weights(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return random.normal(0, 0.5, shape).astype(np.float32)

    def norm(part: Any) -> None:
        part.gamma, part.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def linear(part: Any, rows: int, columns: int = WIDTH) -> None:
        part.weight, part.bias = weights(rows, columns), np.zeros(rows, np.float32)

    def layer(part: Any) -> None:
        attentions: list[tuple[Any, tuple[int, ...]]] = [(part.self_attention, (3, 1))]
        if hasattr(part, "attention"):
            attentions.append((part.attention, (1, 2, 1)))
        for attention, sizes in attentions:
            for place, size in enumerate(sizes):
                linear(attention.linear[place], size * WIDTH)
            norm(attention.layer_norm)
        norm(part.ffn.layer_norm)
        linear(part.ffn.linear_0, 4 * WIDTH)
        linear(part.ffn.linear_1, WIDTH, 4 * WIDTH)

    encoder, decoder = spec.encoder, spec.decoder
    for convolution, channels_in in ((encoder.conv1, MELS), (encoder.conv2, WIDTH)):
        convolution.weight, convolution.bias = weights(WIDTH, channels_in, 3), np.zeros(WIDTH, np.float32)
    encoder.position_encodings.encodings = weights(AUDIO, WIDTH)
    decoder.position_encodings.encodings = weights(TEXT, WIDTH)
    decoder.embeddings.weight = weights(WORDS + len(SPECIAL), WIDTH)
    decoder.projection.weight = decoder.embeddings.weight
    for part in (encoder, decoder):
        norm(part.layer_norm)
        layer(part.layer[0])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with a tiny Whisper in it."""
    base = tmp_path_factory.mktemp("models")
    folder = base / "whisper"
    folder.mkdir()
    tokens = [f"w{number}" for number in range(WORDS)] + SPECIAL
    spec = WhisperSpec(1, HEADS, 1, HEADS)
    fill(spec)
    spec.register_vocabulary(tokens)
    first = WORDS + 2
    spec.config.lang_ids = list(range(first, first + 99))
    spec.config.alignment_heads = [(0, 0)]
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.validate()
    spec.save(str(folder))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    Tokenizer(models.WordLevel(vocabulary, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return base


@pytest.fixture(scope="module")
def whisper(make_triton: Callable[..., RealTriton], directory: Path) -> Iterator[RealTriton]:
    """A Triton with voice activity detection and the tiny Whisper."""
    triton = make_triton(["vad", "whisper"], {"model_directory": str(directory), "beam_size": "1", "device": "cpu"})
    yield triton
    triton.stop()


def test_a_model_is_present_only_with_its_directory(directory: Path, tmp_path: Path) -> None:
    names = ["vad", "whisper"]
    assert present(names, str(directory)) == names
    assert present(names, str(tmp_path)) == present(names, "") == ["vad"]


async def test_the_checkpoint_decodes_in_triton(whisper: RealTriton) -> None:
    client = Triton(whisper.target)
    audio = np.random.default_rng(3).normal(0, 3000, 32000).astype(np.int16)
    try:
        answers = [
            await client.infer("whisper", {"samples": audio, "language": [language], "hints": [b""]}, within=60)
            for language in (b"en-US", b"")
        ]
        for answer in answers:
            assert answer["language"][0] == b"en"
            assert len(answer["words"]) == len(answer["times"]) == len(answer["confidences"])
            assert answer["text"].shape == (1,)
            assert all(0 <= start <= end <= 30 for start, end in answer["times"])
        for inputs, field in ({"language": [b"xx"]}, "language"), ({"hints": [b'{"grammar":"x"}']}, "hints.grammar"):
            with pytest.raises(errors.InvalidArgument) as caught:
                await client.infer("whisper", {"samples": audio, **inputs})
            assert caught.value.violations[0].field == field
    finally:
        await client.close()


async def test_the_service_recognises_with_it(whisper: RealTriton, say: Callable[..., bytes]) -> None:
    async with serve_asr(whisper, default_model="whisper") as address, channels.channel(address) as channel:
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)  # typed for the synchronous API
        listed = (await asr.ListModels(asr_pb2.ListModelsRequest())).models
        assert [(model.id, model.ready) for model in listed] == [("whisper", True), ("pocketsphinx", False)]
        request = asr_pb2.RecognizeRequest(audio=say("good morning everybody"))
        transcript = (await asr.Recognize(request)).transcript
        assert transcript.model == "whisper"
        assert transcript.duration > 1
        edges = [segment.start for segment in transcript.segments]
        assert all(one <= two for one, two in itertools.pairwise(edges))
