"""Stores conversations and their messages: SQLite on a laptop, PostgreSQL in a cluster."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Integer, String, Text, delete, or_, select, tuple_, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from services.chat import records
from services.chat.conversation import AttachmentInfo, Begun, Conversation, Draft, Message, Question, State
from services.chat.models import Role, Usage
from services.chat.tools import Transcript
from services.mesh import paging, tenancy
from services.mesh.database import Database
from services.mesh.errors import NotFound
from services.mesh.tenancy import Owned

MIGRATIONS = Path(__file__).parent / "migrations"
TITLE_LENGTH = 80


class Base(DeclarativeBase):
    """The tables of the chat service. Times are microseconds since 1970 in UTC: alike in every database, sortable."""


class ConversationRow(Owned, Base):
    """A conversation."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    model: Mapped[str] = mapped_column(String(200))
    database: Mapped[str] = mapped_column(String(80))
    create_time: Mapped[int] = mapped_column(BigInteger)
    update_time: Mapped[int] = mapped_column(BigInteger)


class MessageRow(Owned, Base):
    """A message. `seq` orders the messages of a conversation; the last four columns belong to generations."""

    __tablename__ = "messages"

    seq: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    parent_id: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(String(200))
    create_time: Mapped[int] = mapped_column(BigInteger)
    calls: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    attachments: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)
    generation_id: Mapped[str | None] = mapped_column(String(64), unique=True)
    replica: Mapped[str] = mapped_column(String(200))
    alive_time: Mapped[int] = mapped_column(BigInteger)
    cancel_requested: Mapped[bool] = mapped_column(Boolean)


def _now() -> int:
    return time.time_ns() // 1000


def _time(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def _conversation(row: ConversationRow) -> Conversation:
    return Conversation(row.id, row.title, row.model, row.database, _time(row.create_time), _time(row.update_time))


def _message(row: MessageRow) -> Message:
    usage = None if row.prompt_tokens is None else Usage(row.prompt_tokens, row.completion_tokens or 0)
    return Message(
        id=row.id,
        parent_id=row.parent_id,
        role=Role(row.role),
        text=row.text,
        state=State(row.state),
        model=row.model,
        create_time=_time(row.create_time),
        calls=tuple(map(records.to_call, row.calls)),
        results=tuple(map(records.to_result, row.results)),
        usage=usage,
        attachments=tuple(AttachmentInfo(**a) for a in row.attachments),
    )


def _found(session: Session, conversation_id: str) -> ConversationRow:
    row = session.get(ConversationRow, conversation_id)
    if row is None:
        raise NotFound(f"conversations/{conversation_id}")
    return row


class Store:
    """Conversations and messages, each person's own.

    Every method is one transaction; each raises StorageUnavailable where there is none.

    Args:
        database: Where they are kept.
        replica: Name of this process, for the answers that it writes.
    """

    def __init__(self, database: Database, replica: str) -> None:
        self._database = database
        self._replica = replica

    async def create(self, title: str, model: str, database: str) -> Conversation:
        """Starts a conversation."""

        def work(session: Session) -> Conversation:
            now = _now()
            row = ConversationRow(
                id=uuid.uuid4().hex, title=title, model=model, database=database, create_time=now, update_time=now
            )
            session.add(row)
            return _conversation(row)

        return await self._database.run(work)

    async def get(self, conversation_id: str) -> Conversation:
        """One conversation. Raises NotFound."""
        return await self._database.run(lambda session: _conversation(_found(session, conversation_id)))

    async def page(self, size: int, token: str) -> tuple[list[Conversation], str]:
        """A page of conversations, the one last written in first, and the token of the next."""
        size = paging.size(size)

        def work(session: Session) -> tuple[list[Conversation], str]:
            query = select(ConversationRow).order_by(ConversationRow.update_time.desc(), ConversationRow.id.desc())
            if token:
                micros, last = paging.key(token, paging.micros, str)
                query = query.where(tuple_(ConversationRow.update_time, ConversationRow.id) < tuple_(micros, last))
            rows = session.scalars(query.limit(size + 1)).all()
            page = rows[:size]
            more = paging.token(page[-1].update_time, page[-1].id) if len(rows) > size else ""
            return [_conversation(row) for row in page], more

        return await self._database.run(work)

    async def update(self, conversation_id: str, changes: Mapping[str, str]) -> Conversation:
        """Changes title, model or database. Raises NotFound."""

        def work(session: Session) -> Conversation:
            row = _found(session, conversation_id)
            for name, value in changes.items():
                setattr(row, name, value)
            row.update_time = _now()
            return _conversation(row)

        return await self._database.run(work)

    async def delete(self, conversation_id: str) -> list[str]:
        """Deletes a conversation with its messages; returns the generations that were running. Raises NotFound."""

        def work(session: Session) -> list[str]:
            row = _found(session, conversation_id)
            running = select(MessageRow.generation_id).where(
                MessageRow.conversation_id == conversation_id, MessageRow.state == State.GENERATING.value
            )
            generations = [g for g in session.scalars(running) if g is not None]
            session.execute(delete(MessageRow).where(MessageRow.conversation_id == conversation_id))
            session.delete(row)
            return generations

        return await self._database.run(work)

    async def messages(self, conversation_id: str, size: int, token: str) -> tuple[list[Message], str]:
        """A page of a conversation's messages, oldest first, and the token of the next. Raises NotFound."""
        size = paging.size(size)

        def work(session: Session) -> tuple[list[Message], str]:
            _found(session, conversation_id)
            query = select(MessageRow).where(MessageRow.conversation_id == conversation_id).order_by(MessageRow.seq)
            if token:
                query = query.where(MessageRow.seq > paging.key(token, paging.micros)[0])
            rows = session.scalars(query.limit(size + 1)).all()
            more = paging.token(rows[size - 1].seq) if len(rows) > size else ""
            return [_message(row) for row in rows[:size]], more

        return await self._database.run(work)

    async def begin(self, question: Question, model: str, history: int) -> Begun:
        """Stores a person's message and an empty answer that is being generated.

        Args:
            question: What the person says.
            model: The model that answers.
            history: At most this many earlier messages are returned.

        Raises:
            NotFound: There is no such conversation, or no such message in it.
        """

        def work(session: Session) -> Begun:
            conversation = _found(session, question.conversation_id)
            parent = _parent(session, question)
            now = conversation.update_time = max(_now(), conversation.update_time + 1)
            conversation.title = conversation.title or _title(question.text)
            asked = self._row(conversation.id, parent.id if parent else "", Role.USER, State.COMPLETE, now)
            asked.text = question.text
            asked.attachments = [
                {"filename": a.filename, "content_type": a.content_type, "size": len(a.content)}
                for a in question.attachments
            ]
            session.add(asked)
            session.flush()
            answer = self._row(conversation.id, asked.id, Role.ASSISTANT, State.GENERATING, now)
            answer.model = model
            generation = answer.generation_id = uuid.uuid4().hex
            session.add(answer)
            earlier = _path(session, parent, history)
            return Begun(generation, answer.id, _message(asked), earlier, _conversation(conversation))

        return await self._database.run(work)

    def _row(self, conversation_id: str, parent_id: str, role: Role, state: State, now: int) -> MessageRow:
        return MessageRow(
            id=uuid.uuid4().hex,
            conversation_id=conversation_id,
            parent_id=parent_id,
            role=role.value,
            text="",
            state=state.value,
            model="",
            create_time=now,
            calls=[],
            results=[],
            attachments=[],
            replica=self._replica,
            alive_time=now,
            cancel_requested=False,
        )

    async def save(self, message_id: str, draft: Draft, state: State) -> Message:
        """Stores an answer as far as it got. An untitled conversation takes the transcript as its title.

        Raises:
            NotFound: It was deleted meanwhile.
        """

        def work(session: Session) -> Message:
            row = session.scalars(select(MessageRow).where(MessageRow.id == message_id)).one_or_none()
            if row is None:
                raise NotFound(f"messages/{message_id}")
            row.text, row.state, row.alive_time = draft.text, state.value, _now()
            row.calls = [records.from_call(c) for c in draft.calls]
            row.results = [records.from_result(r) for r in draft.results]
            if draft.usage is not None:
                row.prompt_tokens, row.completion_tokens = draft.usage.prompt_tokens, draft.usage.completion_tokens
            conversation = _found(session, row.conversation_id)
            if not conversation.title:
                heard = (r.output.text for r in draft.results if isinstance(r.output, Transcript))
                conversation.title = _title(next(heard, ""))
            return _message(row)

        return await self._database.run(work)

    async def ask_to_stop(self, generation_id: str) -> bool:
        """Asks whichever replica writes an answer to stop; whether it was being written. Raises NotFound."""

        def work(session: Session) -> bool:
            query = select(MessageRow).where(MessageRow.generation_id == generation_id)
            row = session.scalars(query).one_or_none()
            if row is None:
                raise NotFound(f"generations/{generation_id}")
            running = row.state == State.GENERATING.value
            row.cancel_requested = row.cancel_requested or running
            return running

        return await self._database.run(work)

    async def beat(self, generations: Collection[str]) -> set[str]:
        """Says that these generations are alive; returns those that are to stop, deleted ones among them."""

        def work(session: Session) -> set[str]:
            session.execute(
                update(MessageRow).where(MessageRow.generation_id.in_(generations)).values(alive_time=_now())
            )
            going_on = select(MessageRow.generation_id).where(
                MessageRow.generation_id.in_(generations), MessageRow.cancel_requested.is_(False)
            )
            return set(generations) - {g for g in session.scalars(going_on) if g is not None}

        with tenancy.everyone("a replica writes for whoever asked"):
            return await self._database.run(work)

    async def interrupt_abandoned(self, stale_seconds: float, *, own: bool) -> int:
        """Marks answers that nobody writes any more as interrupted; returns how many.

        Args:
            stale_seconds: Those without a sign of life for so long are abandoned.
            own: Also all that this replica was writing: true at its start, when it cannot be writing any.
        """

        def work(session: Session) -> int:
            abandoned = MessageRow.alive_time < _now() - int(stale_seconds * 1e6)
            mine = MessageRow.replica == self._replica
            rows = session.scalars(
                select(MessageRow).where(
                    MessageRow.state == State.GENERATING.value, or_(abandoned, mine) if own else abandoned
                )
            ).all()
            for row in rows:
                row.state = State.INTERRUPTED.value
            return len(rows)

        with tenancy.everyone("a replica that is gone wrote for whoever asked"):
            return await self._database.run(work)


def _title(text: str) -> str:
    """The first line of a text, cut at a word."""
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"


def _parent(session: Session, question: Question) -> MessageRow | None:
    """The message that a question follows; None where it is the first."""
    query = select(MessageRow).where(MessageRow.conversation_id == question.conversation_id)
    if not question.parent_id:
        return session.scalars(query.order_by(MessageRow.seq.desc()).limit(1)).one_or_none()
    row = session.scalars(query.where(MessageRow.id == question.parent_id)).one_or_none()
    if row is None:
        raise NotFound(f"messages/{question.parent_id}")
    return row


def _path(session: Session, last: MessageRow | None, limit: int) -> tuple[Message, ...]:
    """The messages from the root of the tree to `last`, at most the newest `limit`."""
    path: list[Message] = []
    while last is not None and len(path) < limit:
        path.append(_message(last))
        last = session.scalars(select(MessageRow).where(MessageRow.id == last.parent_id)).one_or_none()
    return tuple(reversed(path))
