"""The tools that a model may call, and what they answer: one registry for every kind of model."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.chat import metrics
from services.mesh.errors import InvalidArgument, NotFound, ParleyError

RECOGNIZE = "asr.recognize"
ASK = "sql.ask"
LIST_DATABASES = "sql.list_databases"
DESCRIBE = "sql.describe"
GENERATE = "image.generate"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model has to know of a tool.

    Attributes:
        name: Its name, `service.action` for Parley's own.
        description: What it does and when to use it.
        parameters: JSON schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model wants made. `id` names it within the answer."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result; `type` is the name of a parley.sql.v1.ColumnType without its prefix, e.g. INTEGER."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows from a database.

    Attributes:
        sql: The statement that gave them.
        database: databases/{database}
        columns: In the order of the values of each row.
        rows: Values as JSON knows them: None, bool, float, str.
        truncated: Whether a row limit cut the result off.
        answer: The sentence that answers the question, in its language.
    """

    sql: str
    database: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word: start and end in seconds, confidence from 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech: start and end in seconds, confidence from 0 to 1; the speaker's id where it is known."""

    text: str
    start: float
    end: float
    confidence: float
    words: tuple[Word, ...] = ()
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody who speaks in a recording, for so many seconds; `name` is the id until people give another."""

    id: str
    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    Attributes:
        text: All of it.
        segments: In order of time.
        language_code: The language as BCP 47.
        duration: Length of the audio in seconds.
        model: The speech model.
        speakers: In order of appearance; empty where they were not told apart.
        recording: Whether it is a recording that is asked about, and no spoken question.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    language_code: str = ""
    duration: float = 0.0
    model: str = ""
    speakers: tuple[Speaker, ...] = ()
    recording: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was put to a database before.

    Attributes:
        question: The question.
        sql: The statement that answered it; empty where it is not known.
        asked_back: Whether it was answered by a question back with choices.
    """

    question: str
    sql: str = ""
    asked_back: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was drawn.

    Attributes:
        name: images/{image}
        url: Where its bytes are; a path of the gateway where its public address is not known.
        width: In pixels.
        height: In pixels.
        content_type: Its media type.
        size: In bytes.
        seed: What it was drawn with: the same seed and settings give the same picture.
        infotext: How it was drawn, as A1111 writes it.
        expire_time: When it is deleted: ISO 8601, in UTC.
        link: A path by which a browser sees it without a credential, for a while; never stored.
        content: Its bytes while the answer streams, where they were wanted; never stored.
    """

    name: str
    url: str
    width: int
    height: int
    content_type: str
    size: int
    seed: int
    infotext: str
    expire_time: str
    link: str = field(default="", repr=False)
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What was drawn.

    Attributes:
        prompt: What was to be drawn.
        model: What drew it.
        pictures: In the order of the request, at least one.
        wanted: How many were asked for.
        fault: Why there are fewer; empty where there are not.
    """

    prompt: str
    model: str
    pictures: tuple[Picture, ...]
    wanted: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a picture looks like while it is drawn: the `index`-th of the request, from 0, after so many steps."""

    index: int
    step: int
    content: bytes
    content_type: str


ToolOutput = Table | Transcript | Drawing | str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered: `output` or `error`; `elapsed` in seconds."""

    call_id: str
    elapsed: float
    output: ToolOutput | None = None
    error: ParleyError | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message; its bytes are never stored."""

    filename: str
    content_type: str
    content: bytes


class Report(Protocol):
    """Told how much is done, from 0 to 1; how many seconds are left, where that can be said; what it looks like."""

    def __call__(self, progress: float, remaining: float | None, preview: Preview | None = None) -> None:
        """Tells it."""


def unheard(progress: float, remaining: float | None, preview: Preview | None = None) -> None:
    """Progress that nobody waits for."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the conversation that it is called in.

    Attributes:
        database: databases/{database} that questions are about; empty where none was chosen.
        attachments: The files of the message that is being answered.
        written: What the person wrote last, where there are attachments; its language is likely theirs.
        report: Told of the progress of what takes long.
        history: What was asked of databases before, oldest first.
        looks: Whether whoever waits sees pictures and previews themselves; links only, where not.
    """

    database: str = ""
    attachments: tuple[Attachment, ...] = ()
    written: str = ""
    report: Report = unheard
    history: tuple[Turn, ...] = ()
    looks: bool = True


class Tool(Protocol):
    """Something that a model can have done."""

    @property
    def spec(self) -> ToolSpec:
        """What models are told of it."""

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        """Does it. Raises ParleyError where it cannot be done."""


@dataclass(slots=True)
class ToolRegistry:
    """The tools of this deployment, by name."""

    tools: dict[str, Tool] = field(default_factory=dict)

    @classmethod
    def of(cls, tools: Iterable[Tool]) -> ToolRegistry:
        """A registry of these tools."""
        return cls({tool.spec.name: tool for tool in tools})

    def specs(self) -> tuple[ToolSpec, ...]:
        """What models are told, in the order of registration."""
        return tuple(tool.spec for tool in self.tools.values())

    def __contains__(self, name: str) -> bool:
        return name in self.tools

    async def call(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Calls a tool. What it raises becomes the result's error: the answer goes on without it."""
        start = time.monotonic()
        output: ToolOutput | None = None
        error: ParleyError | None = None
        try:
            tool = self.tools.get(call.tool)
            if tool is None:
                raise NotFound(f"tools/{call.tool}")
            check_arguments(tool.spec, call.arguments)
            output = await tool.call(call.arguments, context)
        except ParleyError as caught:
            error = caught
        elapsed = time.monotonic() - start
        # Models make names of tools up: those are no labels.
        metrics.TOOLS.labels(call.tool if call.tool in self else "", "failed" if error else "answered").observe(elapsed)
        return ToolResult(call.id, elapsed, output, error)


JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def check_arguments(spec: ToolSpec, arguments: Mapping[str, Any]) -> None:
    """Raises InvalidArgument where arguments do not fit: models make them up.

    Of JSON schema it knows what the tools here use: required, type, maxLength, minimum with maximum, and that nothing
    else is allowed.
    """
    properties: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    for name in spec.parameters.get("required", ()):
        if name not in arguments:
            raise InvalidArgument(name, f"{spec.name} requires it.")
    for name, value in arguments.items():
        schema = properties.get(name)
        if schema is None:
            raise InvalidArgument(name, f"{spec.name} has no such argument; it has {', '.join(properties) or 'none'}.")
        kind = schema.get("type", "")
        # To Python a boolean is a number.
        if not isinstance(value, JSON_TYPES.get(kind, (object,))) or (isinstance(value, bool) and kind != "boolean"):
            raise InvalidArgument(name, f"must be of type {kind}.")
        if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
            raise InvalidArgument(name, f"must have at most {schema['maxLength']} characters.")
        if "maximum" in schema and not schema["minimum"] <= value <= schema["maximum"]:
            raise InvalidArgument(name, f"must be from {schema['minimum']} to {schema['maximum']}.")
