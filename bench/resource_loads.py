"""What each service of a stack is given to do, through its gateway: what is typical of it, and what is heavy."""

from __future__ import annotations

import asyncio
import io
import itertools
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from google.api import httpbody_pb2
from PIL import Image

from bench import chat as completions
from bench.shop_questions import questions
from deploy.local import espeak, sample_shop
from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.image.v1 import image_pb2, image_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc

TOGETHER = 4
"""Clients at once, where a request is more than a moment's work."""
HEAVY = 2
"""Of the largest requests, at once."""
STEPS = 20
PIXELS = 64
SENTENCE = "please show me the names of all customers who ordered more than twenty products in the last year"
RATE = 16000
LONGEST = 64 * 1024 * 1024
"""Bytes of the largest message."""
BOUNDARY = "one-file-follows"
SECONDS = 300.0
"""That a heavy request may take."""

Channel = grpc.aio.Channel
# The generated stubs are typed for the synchronous API.
Stub = Any


class Target(NamedTuple):
    """A running stack."""

    address: str
    """host:port of its gateway."""
    key: str
    """A key without limits."""
    counted: str
    """A key whose requests are counted: identity is asked about every one."""
    databases: Path
    """Where its SQLite databases lie."""


def _channel(target: Target) -> Channel:
    credentials = grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), grpc.access_token_call_credentials(target.key)
    )
    size = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    return grpc.aio.secure_channel(target.address, credentials, options=size)


async def _repeat(work: Callable[[], Awaitable[float]], seconds: float) -> float:
    """Has TOGETHER clients work again and again for a while; returns what all of it came to."""
    until = time.monotonic() + seconds

    async def client() -> float:
        done = 0.0
        while time.monotonic() < until:
            done += await work()
        return done

    return sum(await asyncio.gather(*(client() for _ in range(TOGETHER))))


def chat(target: Target, seconds: float) -> float:
    """Completions from a provider that answers at once, 16 connections; returns how many."""
    return _completions(target, seconds, target.key)


def identity(target: Target, seconds: float) -> float:
    """The same, with a key that has limits: each is a decision of identity's. Returns how many."""
    return _completions(target, seconds, target.counted)


def _completions(target: Target, seconds: float, key: str) -> float:
    answered = completions.load(f"http://{target.address}{completions.COMPLETIONS}", seconds, key)
    return float(answered["requests"])


def sql(target: Target, seconds: float) -> float:
    """Questions about the sample shop, answered by the embedded engine; returns how many."""
    asked = itertools.cycle(questions(7))

    async def main() -> float:
        async with _channel(target) as channel:
            stub: Stub = sql_pb2_grpc.SqlServiceStub(channel)
            file = target.databases / "shop.db"
            if not file.exists():
                sample_shop.build(file)
                database = sql_pb2.Database(url=f"sqlite:///{file}")
                await stub.CreateDatabase(sql_pb2.CreateDatabaseRequest(database_id="shop", database=database))

            async def ask() -> float:
                request = sql_pb2.AskRequest(database="databases/shop", question=next(asked), guess=True)
                try:
                    async for _part in stub.Ask(request):
                        pass
                except grpc.aio.AioRpcError as error:
                    # What it does not understand it says so of, after as much work.
                    if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT):
                        raise
                return 1.0

            return await _repeat(ask, seconds)

    return asyncio.run(main())


def asr(target: Target, seconds: float) -> float:
    """A spoken sentence, recognised; returns the seconds of audio."""
    recording = target.databases / "spoken.wav"
    audio = espeak.synthesise(SENTENCE, recording).read_bytes()
    with wave.open(str(recording)) as opened:
        length: float = opened.getnframes() / opened.getframerate()

    async def main() -> float:
        async with _channel(target) as channel:
            stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)

            async def recognise() -> float:
                await stub.Recognize(asr_pb2.RecognizeRequest(audio=audio))
                return length

            return await _repeat(recognise, seconds)

    return asyncio.run(main())


def image(target: Target, seconds: float) -> float:
    """Pictures of 64 x 64; returns the steps of all of them."""
    seeds = itertools.count(1)

    async def main() -> float:
        async with _channel(target) as channel:
            stub: Stub = image_pb2_grpc.ImageServiceStub(channel)

            async def draw() -> float:
                request = image_pb2.GenerateRequest(settings=_drawing(next(seeds)))
                async for _answer in stub.Generate(request, timeout=SECONDS):
                    pass
                return float(STEPS)

            # The model's process starts with the first picture.
            await draw()
            return await _repeat(draw, seconds)

    return asyncio.run(main())


def _drawing(seed: int) -> image_pb2.Settings:
    return image_pb2.Settings(prompt="a red circle", steps=STEPS, seed=seed, width=PIXELS, height=PIXELS)


def _heavy(target: Target, call: Callable[[Channel], Awaitable[None]]) -> None:
    """HEAVY of the largest requests at once."""

    async def main() -> None:
        async with _channel(target) as channel:
            await asyncio.gather(*(call(channel) for _ in range(HEAVY)))

    asyncio.run(main())


def large_messages(target: Target) -> None:
    """Messages with as long a recording as an attachment may be."""
    audio = _silence(LONGEST // 2 - 1024)

    async def send(channel: Channel) -> None:
        stub: Stub = chat_pb2_grpc.ChatServiceStub(channel)
        made = await stub.CreateConversation(chat_pb2.CreateConversationRequest())
        attachment = chat_pb2.Attachment(filename="long.wav", content_type="audio/wav", content=audio)
        request = chat_pb2.SendMessageRequest(
            conversation=made.conversation.name, text="What is said there?", attachments=[attachment]
        )
        async for _event in stub.SendMessage(request, timeout=SECONDS):
            pass

    _heavy(target, send)


def large_tables(target: Target) -> None:
    """Tables of 48 MiB, uploaded as CSV."""
    rows = b"".join(b"%d,name %d,%d,2026-01-01\n" % (n, n, n * 7 % 1000) for n in range(48 * 1024 * 1024 // 34))
    numbers = itertools.count(1)

    async def upload(channel: Channel) -> None:
        stub: Stub = sql_pb2_grpc.SqlServiceStub(channel)
        fields = {
            "database_id": f"large-{next(numbers)}".encode(),
            'file"; filename="rows.csv': b"id,name,n,day\n" + rows,
        }
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        form = _form(fields)

        async def pieces() -> AsyncIterator[sql_pb2.UploadDatabaseRequest]:
            for start in range(0, len(form), 1 << 20):
                body = httpbody_pb2.HttpBody(content_type=content_type, data=form[start : start + (1 << 20)])
                yield sql_pb2.UploadDatabaseRequest(body=body)

        await stub.UploadDatabase(pieces(), timeout=SECONDS)

    _heavy(target, upload)


def large_recordings(target: Target) -> None:
    """Recordings as long as a message may be: half an hour of silence."""
    audio = _silence(LONGEST - 1024)

    async def recognise(channel: Channel) -> None:
        stub: Stub = asr_pb2_grpc.SpeechRecognitionStub(channel)
        await stub.Recognize(asr_pb2.RecognizeRequest(audio=audio), timeout=SECONDS)

    _heavy(target, recognise)


def large_pictures(target: Target) -> None:
    """Pictures of 32 MiB that nothing makes smaller, drawn over."""
    noise = np.random.default_rng(1).integers(0, 256, (3264, 3264, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(noise).save(written, "PNG", compress_level=0)

    async def edit(channel: Channel) -> None:
        stub: Stub = image_pb2_grpc.ImageServiceStub(channel)
        request = image_pb2.EditRequest(settings=_drawing(1), image=written.getvalue())
        async for _answer in stub.Edit(request, timeout=SECONDS):
            pass

    _heavy(target, edit)


def _silence(size: int) -> bytes:
    """A WAV file of about so many bytes in which nobody speaks."""
    written = io.BytesIO()
    with wave.open(written, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(bytes(size // 2 * 2))
    return written.getvalue()


def _form(fields: dict[str, bytes]) -> bytes:
    """A multipart form, as RFC 7578 has it."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (BOUNDARY.encode(), name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join([*parts, b"--%b--\r\n" % BOUNDARY.encode()])


class Load(NamedTuple):
    """What a service is measured under."""

    service: str
    """Whose figures it gives."""
    unit: str
    """What is counted."""
    typical: Callable[[Target, float], float]
    """Works for so many seconds; returns how many units that were."""
    heavy: Callable[[Target], None] | None
    """The largest requests that it takes."""


LOADS: Sequence[Load] = (
    Load("chat", "completions", chat, large_messages),
    Load("identity", "decisions", identity, None),
    Load("sql", "questions", sql, large_tables),
    Load("asr", "seconds of audio", asr, large_recordings),
    Load("image", "steps", image, large_pictures),
)
