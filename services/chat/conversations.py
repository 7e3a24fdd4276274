"""The use cases of conversations: what a client may do, without a transport."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from services.chat import turns
from services.chat.catalog import Catalog
from services.chat.conversation import Begun, Conversation, Done, Draft, Message, Question, Started, State, prompt
from services.chat.generation import Generator
from services.chat.models import (
    ChatModel,
    Finished,
    FinishReason,
    ModelRequest,
    TextDelta,
    ToolAnswered,
    ToolCalled,
    ToolProgressed,
    Usage,
)
from services.chat.picture_links import PictureLinks
from services.chat.store import Store
from services.chat.tools import ToolContext
from services.mesh import telemetry
from services.mesh.errors import InvalidArgument, StorageUnavailable

log = telemetry.get_logger(__name__)

# Raises NotFound for a database (databases/{database}) that does not exist.
CheckDatabase = Callable[[str], Awaitable[None]]
Told = TextDelta | ToolCalled | ToolProgressed | ToolAnswered | Usage
AnswerEvent = Started | Told | Done
# Containers that hold audio as often as video, or say nothing of what they hold.
AUDIO_TYPES = ("audio/", "video/", "application/ogg", "application/octet-stream")


@dataclass(slots=True)
class _Running:
    """A generation of this process: its task fills the queue, which ends with None."""

    begun: Begun
    draft: Draft = field(default_factory=Draft)
    # Unbounded: the draft holds the same text anyway, and a slow client must not hold up the storing.
    queue: asyncio.Queue[Told | None] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[tuple[Message, FinishReason]] | None = None
    stopped: bool = False

    async def events(self) -> AsyncGenerator[Told, None]:
        """What it tells, to its end."""
        while (event := await self.queue.get()) is not None:
            yield event

    def stop(self) -> None:
        """Stops it because somebody asked for it; once is enough."""
        if self.task is not None and not self.stopped:
            self.stopped = True
            self.task.cancel()


class Conversations:
    """Conversations of this deployment.

    Args:
        store: Where they are kept.
        catalog: The models that answer.
        generator: Runs them.
        check_database: Asked about each database that is named.
        links: Gives links to pictures to whoever reads a message.
        history_messages: How many earlier messages a model sees.
        save_seconds: How often an answer is stored while it is written, and requests to stop it are looked for.
        stale_seconds: After how long without a sign of life another replica's answer counts as interrupted.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        generator: Generator,
        check_database: CheckDatabase,
        links: PictureLinks,
        *,
        history_messages: int = 40,
        save_seconds: float = 1.0,
        stale_seconds: float = 30.0,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._generator = generator
        self._check_database = check_database
        self._links = links
        self._history = history_messages
        self._save_seconds = save_seconds
        self._stale_seconds = stale_seconds
        self._running: dict[str, _Running] = {}
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Marks what an earlier life of this replica left unfinished, and begins to watch.

        Raises:
            StorageUnavailable: The database cannot be written.
        """
        count = await self._store.interrupt_abandoned(self._stale_seconds, own=True)
        if count:
            log.warning("answers were interrupted by a stop of the service", count=count)
        self._watch = asyncio.create_task(self._watching())

    async def close(self) -> None:
        """Stops watching."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def create(self, title: str, model: str, database: str) -> Conversation:
        """Starts a conversation. Raises ModelNotFound, InvalidArgument, and NotFound for the database."""
        await self._check_fields({"title": title, "model": model, "database": database})
        return await self._store.create(title, model, database)

    async def get(self, conversation_id: str) -> Conversation:
        """One conversation. Raises NotFound."""
        return await self._store.get(conversation_id)

    async def page(self, size: int, token: str) -> tuple[list[Conversation], str]:
        """A page of conversations and the token of the next."""
        return await self._store.page(size, token)

    async def update(self, conversation_id: str, changes: Mapping[str, str]) -> Conversation:
        """Changes title, model or database. Raises NotFound, also for the database, ModelNotFound, InvalidArgument."""
        await self._check_fields(changes)
        return await self._store.update(conversation_id, changes)

    async def _check_fields(self, fields: Mapping[str, str]) -> None:
        """Raises for what a conversation cannot have; an empty field is one that is not set."""
        # Not every storage can hold it.
        if "\0" in fields.get("title", ""):
            raise InvalidArgument("conversation.title", "must not contain NUL characters.")
        self._catalog.get(fields.get("model", ""))
        if fields.get("database"):
            await self._check_database(fields["database"])

    async def delete(self, conversation_id: str) -> None:
        """Deletes a conversation and stops what is being generated in it. Raises NotFound."""
        for generation in await self._store.delete(conversation_id):
            if generation in self._running:
                self._running[generation].stop()

    async def messages(self, conversation_id: str, size: int, token: str) -> tuple[list[Message], str]:
        """A page of a conversation's messages, oldest first, and the token of the next. Raises NotFound."""
        page, more = await self._store.messages(conversation_id, size, token)
        return await self._links.in_messages(page), more

    async def cancel(self, generation_id: str) -> bool:
        """Stops a generation, wherever it runs; whether it was still running. Raises NotFound."""
        was_running = await self._store.ask_to_stop(generation_id)
        if generation_id in self._running:
            self._running[generation_id].stop()
        return was_running

    async def send(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Stores a message and streams the answer: `Started` first, `Done` last.

        Closing the generator stops the answer; what was said is kept.

        Raises:
            InvalidArgument: The message is empty, or an attachment is not audio.
            NotFound: There is no such conversation, parent message, model or database.
            ParleyError: The model failed; what was said is kept.
        """
        _check(question)
        conversation = await self._store.get(question.conversation_id)
        model = self._catalog.get(question.model or conversation.model)
        if question.database:
            await self._check_database(question.database)
        begun = await self._store.begin(question, model.info.id, self._history)
        run = _Running(begun)
        self._running[begun.generation_id] = run
        run.task = asyncio.create_task(self._write(run, model, question))
        try:
            yield Started(begun, model.info.id)
            async with aclosing(self._links.in_events(run.events())) as events:
                async for event in events:
                    yield event
            yield await self._done(run, run.task)
        finally:
            run.task.cancel()
            # Until it has closed the model and stored the rest; its own errors were raised above, or nobody listens.
            await asyncio.wait({run.task})

    async def _done(self, run: _Running, task: asyncio.Task[tuple[Message, FinishReason]]) -> Done:
        """How a generation ended. Raises what it failed with."""
        await asyncio.wait({task})
        if run.stopped and task.cancelled():
            message, reason = await self._stopped(run), FinishReason.CANCELLED
        else:
            message, reason = task.result()
        (linked,) = await self._links.in_messages([message])
        return Done(linked, reason)

    async def _stopped(self, run: _Running) -> Message:
        """The stopped answer as stored. Raises NotFound when it was deleted."""
        return await self._store.save(run.begun.message_id, run.draft, State.INTERRUPTED)

    async def _write(self, run: _Running, model: ChatModel, question: Question) -> tuple[Message, FinishReason]:
        """Generates an answer and stores it; however this ends, the queue ends and what was said is kept."""
        state, reason = State.INTERRUPTED, FinishReason.STOP
        try:
            reason = await self._stream(run, model, question)
            state = State.COMPLETE
        finally:
            try:
                message = await self._store.save(run.begun.message_id, run.draft, state)
            finally:
                del self._running[run.begun.generation_id]
                run.queue.put_nowait(None)
        return message, reason

    async def _stream(self, run: _Running, model: ChatModel, question: Question) -> FinishReason:
        """Puts the events of an answer into the queue and the draft; stores the draft from time to time."""
        reason, saved, draft = FinishReason.STOP, time.monotonic(), run.draft
        request = ModelRequest(prompt(run.begun.history, question.text))
        context = ToolContext(
            question.database or run.begun.conversation.database,
            question.attachments,
            history=turns.of_messages(run.begun.history),
        )
        async with aclosing(self._generator.run(model, request, context)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    reason = event.reason
                    continue
                if isinstance(event, TextDelta):
                    draft.texts.append(event.text)
                elif isinstance(event, ToolCalled):
                    draft.calls.append(event.call)
                elif isinstance(event, ToolAnswered):
                    draft.results.append(event.result)
                elif isinstance(event, Usage):
                    draft.usage = event
                run.queue.put_nowait(event)
                if time.monotonic() - saved >= self._save_seconds:
                    saved = time.monotonic()
                    await self._save_part(run)
        return reason

    async def _save_part(self, run: _Running) -> None:
        """Stores what there is; where the storage is away the answer goes on, and the end will try again."""
        try:
            await self._store.save(run.begun.message_id, run.draft, State.GENERATING)
        except StorageUnavailable as error:
            log.warning("part of an answer is not stored yet", reason=error.reason)

    async def _watching(self) -> None:
        """Keeps this replica's generations alive, stops those that another one was told to, finds abandoned ones."""
        looked = time.monotonic()
        while True:
            await asyncio.sleep(self._save_seconds)
            try:
                if self._running:
                    for generation in await self._store.beat(list(self._running)):
                        if generation in self._running:
                            self._running[generation].stop()
                if time.monotonic() - looked > self._stale_seconds:
                    looked = time.monotonic()
                    await self._store.interrupt_abandoned(self._stale_seconds, own=False)
            except StorageUnavailable as error:
                log.warning("cannot look for requests to stop", reason=error.reason)


def _check(question: Question) -> None:
    if not question.text.strip() and not question.attachments:
        raise InvalidArgument("text", "must not be empty unless audio is attached.")
    if "\0" in question.text:
        raise InvalidArgument("text", "must not contain NUL characters.")
    for i, attachment in enumerate(question.attachments):
        if not attachment.content_type.lower().startswith(AUDIO_TYPES):
            raise InvalidArgument(f"attachments[{i}].content_type", "must be a type of audio, e.g. audio/wav.")
