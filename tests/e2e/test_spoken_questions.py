"""Spoken questions about the sample shop lead to the same SQL as typed ones: real Triton, real asr, real sql engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import sample_shop
from deploy.local.espeak import synthesise
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from services.mesh import channels
from services.mesh.errors import ParleyError
from services.sql.engine.embedded import EmbeddedEngine
from services.sql.linking.vocabulary import vocabulary
from services.sql.schema import Schema
from services.sql.schemas.introspect import read_schema
from services.sql.target import parse
from tests.asr.stack import RealTriton, serve_asr
from tests.conftest import ROOT
from triton_models.repository import profile

# Of 20. Measured when this was written: 18 to 20, by voice; bench/spoken.py asks many more.
GOAL = 17
QUESTIONS = [
    "how many customers are there",
    "list all products",
    "how many customers are in Hanoi",
    "what is the average price of products",
    "which product has the highest price",
    "show the top five products by price",
    "how many orders are there",
    "list the names of all employees",
    "what is the total stock of products",
    "which customer has the most orders",
    "how many products per category",
    "show all suppliers",
    "how many orders were there in March",
    "which customers have no orders",
    "what is the average salary of employees",
    "list the products with a price greater than one hundred",
    "how many employees are there for each city",
    "show the customers from Vietnam",
    "which employee has the lowest salary",
    "how many different cities are there",
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """The sample shop's schema."""
    folder = tmp_path_factory.mktemp("shop")
    sample_shop.build(folder / "shop.db")
    return read_schema(parse(f"sqlite:///{folder / 'shop.db'}", folder))


@pytest.fixture(scope="module")
def own_triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTriton]:
    """A Triton with the embedded models."""
    triton = RealTriton(profile("embedded"), tmp_path_factory.mktemp("triton"))
    triton.start()
    yield triton
    triton.stop()


async def sql_of(question: str, schema: Schema) -> str:
    """The SQL that a question leads to; what was wrong where it leads to none."""
    try:
        return (await EmbeddedEngine().generate(question, schema)).sql
    except ParleyError as error:
        return f"refused: {error.message}"


def test_the_vocabulary_is_the_same_in_every_process(shop: Schema, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from deploy.local import sample_shop;"
        "from services.sql.schemas.introspect import read_schema; from services.sql.target import parse;"
        "from services.sql.linking.vocabulary import vocabulary; folder = Path(sys.argv[1]);"
        "sample_shop.build(folder / 'again.db');"
        "schema = read_schema(parse(f'sqlite:///{folder}/again.db', folder));"
        "print(chr(10).join(vocabulary(schema)))"
    )
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.splitlines() == vocabulary(shop)


@pytest.mark.parametrize("voice", ["en-us", "en-us+f3"])
async def test_spoken_questions_lead_to_the_sql_of_typed_ones(
    own_triton: RealTriton, shop: Schema, tmp_path: Path, voice: str
) -> None:
    config = asr_pb2.RecognitionConfig(hints=asr_pb2.RecognitionHints(phrases=vocabulary(shop)))
    missed: list[tuple[str, str]] = []
    async with serve_asr(own_triton) as address, channels.channel(address) as channel:
        asr: Any = asr_pb2_grpc.SpeechRecognitionStub(channel)  # typed for the synchronous API
        for question in QUESTIONS:
            audio = synthesise(question, tmp_path / "question.wav", voice=voice).read_bytes()
            heard = (await asr.Recognize(asr_pb2.RecognizeRequest(config=config, audio=audio))).transcript.text
            typed = await sql_of(question, shop)
            assert not typed.startswith("refused"), (question, typed)
            if await sql_of(heard, shop) != typed:
                missed.append((question, heard))
    assert len(QUESTIONS) - len(missed) >= GOAL, missed
