"""Between the domain and the messages of parley.chat.v1, parley.sql.v1, parley.asr.v1 and parley.image.v1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2

from parley.asr.v1 import asr_pb2
from parley.chat.v1 import chat_pb2
from parley.image.v1 import image_pb2
from parley.sql.v1 import sql_pb2
from services.chat.conversation import Conversation, Message, State
from services.chat.models import FinishReason, ModelInfo, Role, ToolProgressed, Usage
from services.chat.tools import (
    Column,
    Drawing,
    Picture,
    Preview,
    Segment,
    Speaker,
    Table,
    ToolCall,
    ToolResult,
    Transcript,
    Word,
)
from services.mesh import status

ROLES = {Role.USER: chat_pb2.ROLE_USER, Role.ASSISTANT: chat_pb2.ROLE_ASSISTANT}
STATES = {
    State.GENERATING: chat_pb2.MESSAGE_STATE_GENERATING,
    State.COMPLETE: chat_pb2.MESSAGE_STATE_COMPLETE,
    State.INTERRUPTED: chat_pb2.MESSAGE_STATE_INTERRUPTED,
}
REASONS = {
    FinishReason.STOP: chat_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: chat_pb2.FINISH_REASON_LENGTH,
    FinishReason.CONTENT_FILTER: chat_pb2.FINISH_REASON_CONTENT_FILTER,
    # The model wanted more rounds of tools than it may have.
    FinishReason.TOOL_CALLS: chat_pb2.FINISH_REASON_STOP,
    FinishReason.CANCELLED: chat_pb2.FINISH_REASON_CANCELLED,
}
COLUMN_TYPE = "COLUMN_TYPE_"
# A larger picture stays out of the stream: clients of gRPC take messages of 4 MiB unless they are told otherwise.
STREAMED_BYTES = 3 << 20


def timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """A moment."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def duration(seconds: float) -> duration_pb2.Duration:
    """A length of time."""
    message = duration_pb2.Duration()
    message.FromNanoseconds(int(seconds * 1e9))
    return message


def conversation(value: Conversation) -> chat_pb2.Conversation:
    """A conversation."""
    return chat_pb2.Conversation(
        name=f"conversations/{value.id}",
        title=value.title,
        model=value.model,
        database=value.database,
        create_time=timestamp(value.create_time),
        update_time=timestamp(value.update_time),
    )


def message(value: Message) -> chat_pb2.Message:
    """A stored message."""
    return chat_pb2.Message(
        name=f"messages/{value.id}",
        parent_message=f"messages/{value.parent_id}" if value.parent_id else "",
        role=ROLES[value.role],
        text=value.text,
        tool_calls=map(tool_call, value.calls),
        tool_results=[answer for result in value.results for answer in tool_results(result)],
        state=STATES[value.state],
        model=value.model,
        usage=usage(value.usage) if value.usage else None,
        create_time=timestamp(value.create_time),
        attachments=[
            chat_pb2.AttachmentInfo(filename=a.filename, content_type=a.content_type, size=a.size)
            for a in value.attachments
        ],
    )


def usage(value: Usage) -> chat_pb2.Usage:
    """What an answer cost."""
    return chat_pb2.Usage(prompt_tokens=value.prompt_tokens, completion_tokens=value.completion_tokens)


def model(value: ModelInfo) -> chat_pb2.Model:
    """A chat model."""
    return chat_pb2.Model(id=value.id, provider=value.provider, description=value.description)


def tool_call(value: ToolCall) -> chat_pb2.ToolCall:
    """A tool call."""
    arguments = struct_pb2.Struct()
    arguments.update(dict(value.arguments))
    return chat_pb2.ToolCall(id=value.id, tool=value.tool, arguments=arguments)


def tool_progress(value: ToolProgressed) -> chat_pb2.ToolProgress:
    """How far a tool is."""
    remaining = None if value.remaining is None else duration(value.remaining)
    preview = None if value.preview is None else image_pb2.Preview(**asdict(value.preview))
    return chat_pb2.ToolProgress(call_id=value.call_id, progress=value.progress, remaining=remaining, preview=preview)


def tool_results(value: ToolResult) -> list[chat_pb2.ToolResult]:
    """What a tool answered: one message, or one for each picture that it drew."""
    answer = chat_pb2.ToolResult(call_id=value.call_id, elapsed=duration(value.elapsed))
    if isinstance(value.output, Drawing):
        return [
            chat_pb2.ToolResult(
                call_id=answer.call_id, elapsed=answer.elapsed, image=image(picture, index, value.output.model)
            )
            for index, picture in enumerate(value.output.pictures)
        ]
    if value.error is not None:
        answer.error.CopyFrom(status.to_status(value.error))
    elif isinstance(value.output, Table):
        answer.table.CopyFrom(table(value.output))
    elif isinstance(value.output, Transcript):
        answer.transcript.CopyFrom(transcript(value.output))
    else:
        answer.text = value.output or ""
    return [answer]


def image(value: Picture, index: int, model: str) -> image_pb2.Image:
    """A picture; with its bytes while they are there and fit."""
    expires = timestamp_pb2.Timestamp()
    expires.FromJsonString(value.expire_time)
    return image_pb2.Image(
        name=value.name,
        index=index,
        width=value.width,
        height=value.height,
        content_type=value.content_type,
        content=value.content if len(value.content) <= STREAMED_BYTES else b"",
        size=value.size,
        seed=value.seed,
        infotext=value.infotext,
        model=model,
        expire_time=expires,
        link=value.link,
    )


def from_image(value: image_pb2.Image, base: str) -> Picture:
    """A picture that the image service drew; `base` goes before the path of its bytes."""
    return Picture(
        name=value.name,
        url=f"{base}/api/v1/{value.name}",
        width=value.width,
        height=value.height,
        content_type=value.content_type,
        size=value.size,
        seed=value.seed,
        infotext=value.infotext,
        expire_time=value.expire_time.ToJsonString(),
        link=value.link,
        content=value.content,
    )


def from_preview(value: image_pb2.Preview) -> Preview:
    """What a picture looks like so far."""
    return Preview(value.index, value.step, value.content, value.content_type)


def table(value: Table) -> sql_pb2.ResultTable:
    """Rows from a database."""
    return sql_pb2.ResultTable(
        sql=value.sql,
        database=value.database,
        columns=[sql_pb2.ResultColumn(name=c.name, type=COLUMN_TYPE + c.type) for c in value.columns],
        rows=map(list_value, value.rows),
        truncated=value.truncated,
    )


def list_value(row: Sequence[Any]) -> struct_pb2.ListValue:
    """The values of a row."""
    values = struct_pb2.ListValue()
    values.extend(row)
    return values


def transcript(value: Transcript) -> asr_pb2.Transcript:
    """What was said."""
    segments = [
        asr_pb2.Segment(
            text=s.text,
            start=s.start,
            end=s.end,
            confidence=s.confidence,
            words=[asr_pb2.Word(text=w.text, start=w.start, end=w.end, confidence=w.confidence) for w in s.words],
            number=number,
            speaker=s.speaker,
        )
        for number, s in enumerate(value.segments, start=1)
    ]
    return asr_pb2.Transcript(
        text=value.text,
        segments=segments,
        speakers=[asr_pb2.Speaker(id=s.id, display_name=s.name, seconds=s.seconds) for s in value.speakers],
        language_code=value.language_code,
        duration=value.duration,
        model=value.model,
    )


def from_columns(columns: sql_pb2.ResultColumns) -> tuple[Column, ...]:
    """The columns of a result."""
    return tuple(Column(c.name, sql_pb2.ColumnType.Name(c.type).removeprefix(COLUMN_TYPE)) for c in columns.columns)


def from_rows(rows: Sequence[struct_pb2.ListValue]) -> list[tuple[Any, ...]]:
    """Rows of a result."""
    return [tuple(json_format.MessageToDict(value) for value in row.values) for row in rows]


def from_transcript(value: asr_pb2.Transcript) -> Transcript:
    """What was said."""
    segments = tuple(
        Segment(s.text, s.start, s.end, s.confidence, tuple(map(from_word, s.words)), s.speaker) for s in value.segments
    )
    speakers = tuple(Speaker(s.id, s.display_name or s.id, s.seconds) for s in value.speakers)
    return Transcript(value.text, segments, value.language_code, value.duration, value.model, speakers)


def from_word(value: asr_pb2.Word) -> Word:
    """A spoken word."""
    return Word(value.text, value.start, value.end, value.confidence)
