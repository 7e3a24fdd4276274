"""The demo: a spoken question becomes an answer from a database, over gRPC, REST and the OpenAI SDK.

    python -m deploy.local.demo [--audio my.wav]

Then a conversation becomes a transcript with its speakers' names, a correction is learned, and a picture is drawn. It
runs a stack of its own (own folder, free ports), asks real questions, checks every answer against the database, and the
picture by looking at it, shows the way that requests took from their real traces, and stops everything again.
"""

from __future__ import annotations

import argparse
import base64
import json
import mimetypes
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2 as error_details_pb2  # JSON shows a refusal's details by their types
from rich.console import Console

from deploy.local import demo_picture, demo_talk, espeak, ports, sample_shop, stack
from deploy.local.demo_check import DemoFailedError, Question, Shop
from deploy.local.demo_talk import Talk
from deploy.local.demo_view import View
from deploy.local.settings import StackSettings
from deploy.local.supervisor import StartError
from deploy.local.tracing import Receiver, Root, hops
from gateway.config import EnvoyMissingError
from parley.asr.v1 import asr_pb2_grpc
from parley.chat.v1 import chat_pb2, chat_pb2_grpc
from parley.image.v1 import image_pb2, image_pb2_grpc
from parley.sql.v1 import sql_pb2, sql_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
MODEL = "parley-embedded"
DATABASE = "databases/shop"
# The services that a question goes through.
TYPED_WAY = {"chat", "sql"}
SPOKEN_WAY = TYPED_WAY | {"asr"}
# The model's process starts with the first picture.
PICTURE_SECONDS = 300


SPOKEN = Question(
    "What is the average price of products in each category?",
    "SELECT c.name, avg(p.price) FROM products AS p JOIN categories AS c ON c.id = p.category_id GROUP BY c.name",
)
ENGLISH = Question("Which five products cost the most?", "SELECT name FROM products ORDER BY price DESC LIMIT 5")
VIETNAMESE = Question("Có bao nhiêu khách hàng ở Đà Lạt?", "SELECT count(*) FROM customers WHERE city = 'Đà Lạt'")
# “Best” means nothing to the engine until somebody says what it is to mean.
BEST = (
    "SELECT c.name, sum(i.quantity * i.unit_price) AS spent FROM customers AS c JOIN orders AS o "
    "ON o.customer_id = c.id JOIN order_items AS i ON i.order_id = o.id WHERE c.city = '{}' "
    "GROUP BY c.id, c.name ORDER BY spent DESC LIMIT {}"
)
TAUGHT = Question("Who are the five best customers in Hanoi?", BEST.format("Hanoi", 5))
PARAPHRASED = Question("Which are the three best customers in Huế?", BEST.format("Hue", 3))
OPENAI = Question("How many orders were cancelled?", "SELECT count(*) FROM orders WHERE status = 'cancelled'")


class Demo:
    """The exchanges.

    Args:
        settings: Those of the running stack.
        receiver: What gets the traces.
        shop: The database.
        recording: The spoken question.
        asked: What it says; None for a person's own recording.
        talk: The conversation of two people.
        folder: Where files may be written.
        view: Prints.
    """

    def __init__(
        self,
        settings: StackSettings,
        receiver: Receiver,
        shop: Shop,
        recording: Path,
        asked: Question | None,
        talk: Talk,
        folder: Path,
        view: View,
    ) -> None:
        self._url = settings.url
        self._key_file = settings.key_file
        self._key = settings.key_file.read_text().strip()
        self._receiver = receiver
        self._shop = shop
        self._recording = recording
        self._asked = asked
        self._talk = talk
        self._folder = folder
        self._view = view
        # In plaintext gRPC sends credentials over loopback alone.
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(), grpc.access_token_call_credentials(self._key)
        )
        self._channel = grpc.secure_channel(f"{settings.host}:{settings.port}", credentials)
        self._chat = chat_pb2_grpc.ChatServiceStub(self._channel)

    def run(self) -> None:
        """All of them, in their order. Raises DemoFailedError, grpc.RpcError."""
        with closing(self._channel):
            self._register()
            self._spoken_over_grpc()
            self._spoken_over_rest()
            self._typed()
            self._openai()
            self._conversation_of_two()
            self._correction()
            self._drawing()

    def _register(self) -> None:
        """Registers the shop."""
        sql = sql_pb2_grpc.SqlServiceStub(self._channel)
        database = sql_pb2.Database(url=f"sqlite:///{self._shop.path}", description="A sample shop.")
        sql.CreateDatabase(sql_pb2.CreateDatabaseRequest(database_id="shop", database=database), timeout=60)

    def _conversation(self) -> str:
        """A new conversation's name."""
        request = chat_pb2.CreateConversationRequest(conversation=chat_pb2.Conversation(database=DATABASE))
        return self._chat.CreateConversation(request, timeout=30).conversation.name

    def _attachment(self) -> chat_pb2.Attachment:
        return chat_pb2.Attachment(
            filename=self._recording.name,
            content_type=mimetypes.guess_type(self._recording.name)[0] or "application/octet-stream",
            content=self._recording.read_bytes(),
        )

    def _spoken_over_grpc(self) -> None:
        self._view.heading(1, "A spoken question, over gRPC with the Python stub")
        audio = self._attachment()
        self._view.code(
            f'audio = Attachment(filename="{audio.filename}", content_type="{audio.content_type}", content=recording)\n'
            "for event in chat.SendMessage(SendMessageRequest(conversation=conversation.name, attachments=[audio])):",
            "python",
        )
        said = f"“{self._asked.text}” (espeak-ng's voice)" if self._asked else "your own recording"
        self._view.person(f"♪ {self._recording.name}: {said}")
        self._send(chat_pb2.SendMessageRequest(attachments=[audio]), self._asked)

    def _typed(self) -> None:
        self._view.heading(3, "Typed questions, in English and in Vietnamese, over gRPC")
        for question in (ENGLISH, VIETNAMESE):
            self._view.person(question.text)
            self._send(chat_pb2.SendMessageRequest(text=question.text), question)
            self._view.console.print()

    def _send(self, request: chat_pb2.SendMessageRequest, question: Question | None) -> None:
        """Sends a message and shows, checks and traces the answer."""
        request.conversation = self._conversation()
        root, began = Root.new(), time.time_ns()
        stream = self._chat.SendMessage(request, timeout=120, metadata=(("traceparent", root.traceparent),))
        tables = self._show(json_format.MessageToDict(event) for event in stream)
        ended = time.time_ns()
        self._verify(tables, question)
        self._way("Python stub, gRPC", root, began, ended, SPOKEN_WAY if request.attachments else TYPED_WAY)

    def _show(self, events: Iterator[dict[str, Any]], *, refusal: bool = False) -> list[dict[str, Any]]:
        """Shows the events as they come and returns the tables.

        Args:
            events: Those of an answer.
            refusal: Whether a tool may refuse.

        Raises:
            DemoFailedError: The last event is missing, or a tool failed.
        """
        tables, open_line, last = [], False, ""
        for event in events:
            match event:
                case {"textDelta": delta}:
                    if not open_line:
                        self._view.answer_begins()
                    self._view.part(delta.get("text", ""))
                    open_line = True
                case {"toolResult": {"transcript": transcript}}:
                    self._view.heard(transcript.get("text", ""))
                case {"toolResult": {"table": table}}:
                    tables.append(table)
                    self._view.statement(table.get("sql", ""))
                    self._view.table(table.get("columns", []), table.get("rows", []))
                case {"toolResult": {"error": _}} if refusal:
                    pass
                case {"toolResult": {"error": error}} | {"error": error}:
                    raise DemoFailedError(str(error.get("message", error)))
            last = next((key for key in event if key != "sequence"), last)
        if open_line:
            self._view.console.print()
        if last != "done":
            raise DemoFailedError(f"the stream ended with {last or 'nothing'}, not with done")
        return tables

    def _verify(self, tables: list[dict[str, Any]], question: Question | None) -> None:
        if not tables:
            raise DemoFailedError("no rows came: the question did not lead to a query")
        self._view.checked(self._shop.check(tables[-1], question))

    def _way(self, client: str, root: Root, began: int, ended: int, through: set[str]) -> None:
        """Shows the way of a request. Raises DemoFailedError when its trace lacks a service that it went through."""
        spans = self._receiver.trace(root)
        below = hops(spans, root.span_id)
        missing = through - {span.service for span in spans}
        if missing or not below:
            raise DemoFailedError(f"the trace of the request lacks {', '.join(sorted(missing)) or 'its root'}")
        self._view.hops(client, began, ended, below)

    def _spoken_over_rest(self) -> None:
        self._view.heading(2, "The same question, over REST with curl")
        conversation = self._conversation()
        attachment = self._attachment()
        body = {
            "attachments": [
                {
                    "filename": attachment.filename,
                    "contentType": attachment.content_type,
                    "content": base64.b64encode(attachment.content).decode(),
                }
            ]
        }
        root, began = Root.new(), time.time_ns()
        events = self._posted(f"{conversation}/messages:send", body, "question.json", root)
        ended = time.time_ns()
        tables = [event["toolResult"]["table"] for event in events if "table" in event.get("toolResult", {})]
        if not events or "done" not in events[-1]:
            raise DemoFailedError(f"the stream did not end with done: {events[-1:]}")
        self._verify(tables, self._asked)
        self._way("curl, HTTP/1.1 and JSON", root, began, ended, SPOKEN_WAY)

    def _posted(self, path: str, body: dict[str, Any], name: str, root: Root) -> list[dict[str, Any]]:
        """Posts JSON as a person would, from a file of that name, and shows and returns the lines of the answer."""
        file = self._folder / name
        file.write_text(json.dumps(body, ensure_ascii=False))
        url = f"{self._url}/api/v1/{path}"
        words = ["-H", "content-type: application/json", "-H", f"traceparent: {root.traceparent}"]
        words += ["--data-binary", f"@{file.name}", url]
        key = f'"authorization: Bearer $(cat {shlex.quote(os.path.relpath(self._key_file, self._folder))})"'
        command = f"curl -sSN -H {key} {shlex.join(words)}"
        self._view.code(command, "bash")
        answers: list[dict[str, Any]] = []
        for line in self._lines(command, url, file, root):
            self._view.line(line if len(line) <= 300 else f"{line[:300]} … ({len(line) - 300} more characters)")
            try:
                answers.append(json.loads(line))
            except ValueError:
                raise DemoFailedError(f"the answer is not lines of JSON: {line[:200]!r}") from None
        return answers

    def _lines(self, command: str, url: str, file: Path, root: Root) -> Iterator[str]:
        """The lines of the answer, as they arrive: from curl, or where there is none from httpx."""
        if shutil.which("curl"):
            shell = ["/bin/sh", "-c", command]
            with subprocess.Popen(shell, cwd=self._folder, stdout=subprocess.PIPE, text=True) as curl:
                assert curl.stdout is not None
                yield from (line.strip() for line in curl.stdout if line.strip())
            if curl.returncode:
                raise DemoFailedError(f"curl ended with {curl.returncode}")
            return
        import httpx

        self._view.note("curl is not installed: httpx sends the same request.")
        headers = {"content-type": "application/json", "traceparent": root.traceparent}
        headers["authorization"] = f"Bearer {self._key}"
        with httpx.stream(
            "POST", url, content=file.read_bytes(), headers=headers, timeout=120, trust_env=False
        ) as sent:
            yield from (line for line in sent.iter_lines() if line.strip())

    def _openai(self) -> None:
        self._view.heading(4, "The unmodified OpenAI SDK, streaming")
        self._view.code(
            f'client = OpenAI(base_url="{self._url}/v1", api_key=Path(".parley/key").read_text().strip())\n'
            f'client.chat.completions.create(model="{MODEL}", stream=True,\n'
            f'    messages=[{{"role": "user", "content": "{OPENAI.text}"}}])',
            "python",
        )
        self._view.person(OPENAI.text)
        root = Root.new()
        said, began = self._said_to_sdk(root)
        ended = time.time_ns()
        self._view.console.print()
        self._view.checked(self._shop.check_text(said, OPENAI))
        self._way("OpenAI SDK, server-sent events", root, began, ended, TYPED_WAY)

    def _said_to_sdk(self, root: Root) -> tuple[str, int]:
        """Asks with the OpenAI SDK and shows the answer as it streams; returns it, and when the request was sent.

        Raises:
            DemoFailedError: The SDK reports an error.
        """
        from openai import OpenAI, OpenAIError

        said = ""
        try:
            with OpenAI(base_url=f"{self._url}/v1", api_key=self._key, max_retries=0, timeout=120) as client:
                began = time.time_ns()
                stream = client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": OPENAI.text}],
                    stream=True,
                    extra_headers={"traceparent": root.traceparent},
                )
                self._view.answer_begins()
                for chunk in stream:
                    text = (chunk.choices[0].delta.content if chunk.choices else None) or ""
                    said += text
                    self._view.part(text)
        except OpenAIError as error:
            raise DemoFailedError(f"the OpenAI SDK reports: {error}") from error
        return said, began

    def _conversation_of_two(self) -> None:
        self._view.heading(5, "A conversation of two people: who said what")
        self._view.code(
            'known = [KnownSpeaker(name="Anna", audio=anna), KnownSpeaker(name="Ben", audio=ben)]\n'
            "config = RecognitionConfig(diarization=DiarizationConfig(known_speakers=known), hints=likely)\n"
            "asr.Recognize(RecognizeRequest(config=config, audio=talk))",
            "python",
        )
        self._view.person(f"♪ {self._talk.conversation.name} (two of espeak-ng's voices)")
        root, began = Root.new(), time.time_ns()
        asr = asr_pb2_grpc.SpeechRecognitionStub(self._channel)
        found = asr.Recognize(
            demo_talk.request(self._talk), timeout=120, metadata=(("traceparent", root.traceparent),)
        ).transcript
        ended = time.time_ns()
        for segment in found.segments:
            self._view.turn(segment.speaker, segment.start, segment.text)
        self._view.checked(demo_talk.check(found.segments))
        self._way("Python stub, gRPC", root, began, ended, {"asr"})

    def _correction(self) -> None:
        self._view.heading(6, "A correction, learned at once")
        self._view.person(TAUGHT.text)
        if self._knows(TAUGHT):
            raise DemoFailedError(f"there is nothing to teach: {TAUGHT.text!r} is answered right")
        self._view.checked("not answered: nobody has said yet what “best” is to mean")
        self._view.console.print()
        self._view.person("Whoever spent the most. This would have been right:")
        self._view.statement(TAUGHT.sql)
        body = {"question": TAUGHT.text, "verdict": "VERDICT_WRONG", "correctedSql": TAUGHT.sql}
        (answer,) = self._posted(f"{DATABASE}:submitFeedback", body, "feedback.json", Root.new()) or ({},)
        if "example" not in answer:
            raise DemoFailedError(f"the correction was not taken: {answer}")
        for question in (TAUGHT, PARAPHRASED):
            self._view.console.print()
            self._view.person(question.text)
            self._verify(self._asked_in_chat(question), question)

    def _asked_in_chat(self, question: Question, *, refusal: bool = False) -> list[dict[str, Any]]:
        """The tables that a typed question leads to, shown as they come; a refusal leads to none where it may be."""
        request = chat_pb2.SendMessageRequest(conversation=self._conversation(), text=question.text)
        events = (json_format.MessageToDict(event) for event in self._chat.SendMessage(request, timeout=120))
        return self._show(events, refusal=refusal)

    def _knows(self, question: Question) -> bool:
        """Whether a question is answered right already; shows what is said."""
        tables = self._asked_in_chat(question, refusal=True)
        try:
            return bool(tables) and bool(self._shop.check(tables[-1], question))
        except DemoFailedError:
            return False

    def _drawing(self) -> None:
        self._view.heading(7, "A picture, drawn step by step")
        if not demo_picture.possible():
            self._view.note(
                "Nothing is drawn: the environment of the models that draw is missing. `make demo` makes it."
            )
            return
        self._view.code(
            f'settings = Settings(prompt="{demo_picture.PROMPT}", seed={demo_picture.SEED})\n'
            "for response in images.Generate(GenerateRequest(settings=settings)):",
            "python",
        )
        self._view.person(demo_picture.PROMPT)
        image, took = self._drawn(Root.new())
        file = demo_picture.save(image.content, self._folder.parent)
        self._view.picture(image.content, f"{image.width} × {image.height}, drawn by {image.model}: {file}")
        seen = demo_picture.check(image.content)
        if seen.right:
            self._view.checked(f"the checker reads: {seen.text}")
        else:
            self._view.note(
                f"The checker reads: {seen.text}. That is not what was asked: docs/image.md says how often."
            )
        self._view.console.print()
        self._view.person("The same seed again:")
        root, began = Root.new(), time.time_ns()
        again, _ = self._drawn(root)
        ended = time.time_ns()
        if again.content != image.content:
            raise DemoFailedError("the same seed and settings gave another picture")
        self._view.checked(f"the same picture, byte for byte; the first one took {took:.1f} s, with the model's start")
        self._way("Python stub, gRPC", root, began, ended, {"image"})

    def _drawn(self, root: Root) -> tuple[image_pb2.Image, float]:
        """The picture, and how many seconds it took; shows each step. Raises DemoFailedError where none comes."""
        images = image_pb2_grpc.ImageServiceStub(self._channel)
        began = time.monotonic()
        stream = images.Generate(
            demo_picture.request(), timeout=PICTURE_SECONDS, metadata=(("traceparent", root.traceparent),)
        )
        image = None
        with self._view.steps() as step:
            for response in stream:
                match response.event.WhichOneof("event"):
                    case "progress":
                        step(response.event.progress.step)
                    case "image":
                        image = response.event.image
        if image is None:
            raise DemoFailedError("the stream ended without a picture")
        return image, time.monotonic() - began


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder for one run, removed when it went well; kept, with its logs, when it did not."""
    parent = ROOT / ".parley"
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=parent))
    yield folder
    shutil.rmtree(folder)


@contextmanager
def running(folder: Path, receiver: Receiver, view: View) -> Iterator[StackSettings]:
    """A stack of the demo's own on free ports, stopped at the end; yields its settings.

    Raises:
        StartError: It could not be started.
    """
    port, admin = ports.free(2)
    settings = StackSettings(
        state=folder, port=port, admin_port=admin, sqlite_root=folder, otlp_endpoint=receiver.endpoint
    )
    began = time.monotonic()
    try:
        stack.detach(settings, lambda event: view.event(event.kind, event.component, event.seconds))
        yield settings
    finally:
        # Also what was started before a start failed or Ctrl-C came.
        stack.down(folder)
    view.note(f"Everything is stopped again, after {time.monotonic() - began:.0f} s.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code: 0 when every answer was right."""
    parser = argparse.ArgumentParser(prog="make demo", description="Shows Parley at work and checks what it answers.")
    parser.add_argument("--audio", type=Path, help="your own recording of a question about the shop")
    recording = parser.parse_args(arguments).audio
    if recording is not None and not (recording.is_file() and recording.stat().st_size):
        parser.error(f"--audio: {recording} is not a file with something in it")
    # Logs are wider than the 80 columns that are assumed where there is no terminal.
    view = View(Console(highlight=False, width=None if sys.stdout.isatty() else 110))
    try:
        with workspace() as folder:
            demonstrate(folder, recording, view)
    except (DemoFailedError, StartError, EnvoyMissingError, ports.PortTakenError) as error:
        return view.failed(str(error))
    except grpc.RpcError as error:
        return view.failed(error.details() if isinstance(error, grpc.Call) else str(error))
    except KeyboardInterrupt:
        return view.failed("interrupted", 130)
    view.next_steps()
    return 0


def demonstrate(folder: Path, recording: Path | None, view: View) -> None:
    """Builds the shop and the spoken question, brings a stack up and runs the exchanges."""
    shop = Shop(folder / "shop.db")
    sample_shop.build(shop.path)
    asked = None if recording else SPOKEN
    if recording is None:
        try:
            recording = espeak.synthesise(SPOKEN.text, folder / "question.wav")
        except RuntimeError as error:
            raise DemoFailedError(str(error)) from error
    # The conversation is spoken while the stack starts.
    with ThreadPoolExecutor(1) as pool, Receiver() as receiver:
        talk = pool.submit(demo_talk.record, folder)
        with running(folder, receiver, view) as settings:
            Demo(settings, receiver, shop, recording, asked, talk.result(), folder, view).run()


if __name__ == "__main__":
    sys.exit(main())
