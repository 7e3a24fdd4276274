"""The multipart form of OpenAI's transcription request: parsed, bounded, every field checked by name."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NoReturn

import multipart

from services.asr.formats import FORMATS
from services.asr.models import MODELS
from services.asr.transcript import Config, Hints
from services.mesh.errors import InvalidArgument, InvalidRequest

MAX_FILE = 64 * 1024 * 1024
MAX_FIELD = 64 * 1024
MAX_PARTS = 64
ALIASES = {"whisper-1": "", "gpt-4o-transcribe": "", "gpt-4o-mini-transcribe": "", "default": ""}
"""Names that OpenAI's clients send by habit mean the deployment's default model."""
GRANULARITIES = ("word", "segment")
# Formats of which events are a stream: the others have times, which events have not.
STREAMED = ("json", "text")
# What a model says that knows them all.
ANY_LANGUAGE = "mul"
# Asked for, they would change the answer in a way that no model here can.
UNSUPPORTED = {
    "known_speaker_names[]": "speakers are not told apart here; leave it out",
    "known_speaker_references[]": "speakers are not told apart here; leave it out",
    "include[]": "log probabilities are not given here; leave it out",
    "languages[]": "one language is recognised at a time; send `language`",
}


@dataclass(frozen=True, slots=True)
class Form:
    """A transcription request."""

    audio: bytes
    config: Config
    format: str = "json"
    stream: bool = False
    words: bool = False
    segments: bool = True


def parse(body: bytes, content_type: str, default_model: str = "") -> Form:
    """Reads the form.

    Args:
        body: The form's bytes.
        content_type: With its boundary.
        default_model: Id of the model that a request means which names none; empty: its language is not checked.

    Raises:
        InvalidArgument: A field is wrong; it is named.
    """
    fields, audio = _parts(body, content_type)
    for name, description in UNSUPPORTED.items():
        if name in fields or name.removesuffix("[]") in fields:
            raise InvalidArgument(name, description)
    if audio is None:
        raise InvalidArgument("file", "is required: the recording, as a file part of the form")
    if "model" not in fields:
        raise InvalidArgument(
            "model", "is required: a speech model, e.g. `pocketsphinx`, or `whisper-1` for the default"
        )
    model = fields["model"][-1]
    model = ALIASES.get(model, model)
    kinds = _granularities(fields)
    _chunking(fields)
    stream = _boolean(fields, "stream")
    return Form(
        audio=audio,
        config=Config(model, _language(fields, model or default_model), _hints(fields)),
        format=_format(fields, kinds, stream),
        stream=stream,
        words="word" in kinds,
        segments="segment" in kinds or not kinds,
    )


def _parts(body: bytes, content_type: str) -> tuple[dict[str, list[str]], bytes | None]:
    """The text fields, and the file. Raises InvalidArgument for what is no multipart form."""
    kind, options = multipart.parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise InvalidArgument("body", "must be multipart/form-data with a boundary")
    fields: dict[str, list[str]] = {}
    audio: bytes | None = None
    # Nothing goes to disk: the body is in memory already, and the server bounds it.
    parser = multipart.MultipartParser(
        io.BytesIO(body), options["boundary"], part_limit=MAX_PARTS, spool_limit=MAX_FILE, memory_limit=MAX_FILE
    )
    try:
        for part in parser:
            if part.name == "file":
                audio = part.raw
            elif part.size > MAX_FIELD:
                raise InvalidArgument(part.name, f"must not be longer than {MAX_FIELD} bytes")
            else:
                fields.setdefault(part.name, []).append(part.value)
    except multipart.MultipartError as error:
        raise InvalidArgument("body", f"not a well-formed multipart form: {error}") from None
    except UnicodeDecodeError:
        raise InvalidArgument("body", "its text fields must be UTF-8") from None
    return fields, audio


def _one(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[-1].strip()


def _choice(field: str, value: str, choices: tuple[str, ...]) -> NoReturn:
    raise InvalidArgument(field, f"must be one of {', '.join(choices)}; not {value!r}")


def _boolean(fields: dict[str, list[str]], name: str) -> bool:
    value = _one(fields, name).lower() or "false"
    return value in ("true", "1") if value in ("true", "1", "false", "0") else _choice(name, value, ("true", "false"))


def _language(fields: dict[str, list[str]], model: str) -> str:
    """The language; the model may know it as another country speaks it. Unknown models are refused later."""
    value = _one(fields, "language")
    known = next((m.languages for m in MODELS if m.id == model), (ANY_LANGUAGE,))
    if value and ANY_LANGUAGE not in known and _primary(value) not in map(_primary, known):
        raise InvalidArgument("language", f"{model} knows {', '.join(known)}; not {value!r}")
    return value


def _primary(language: str) -> str:
    """`en-US` → `en`."""
    return language.partition("-")[0].lower()


def _chunking(fields: dict[str, list[str]]) -> None:
    """Recordings are cut where the speech detector finds pauses: that is `auto`, and there is nothing to set."""
    name = "chunking_strategy"
    if _one(fields, name) not in ("", "auto") or any(field.startswith(f"{name}[") for field in fields):
        raise InvalidArgument(name, "must be auto, or left out: the detection of speech has no settings here")


def _format(fields: dict[str, list[str]], granularities: set[str], stream: bool) -> str:
    value = _one(fields, "response_format") or "json"
    if value not in FORMATS:
        _choice("response_format", value, tuple(FORMATS))
    if stream and value not in STREAMED:
        raise InvalidArgument("response_format", f"must be {' or '.join(STREAMED)} with stream=true; not {value!r}")
    if granularities and value != "verbose_json":
        raise InvalidArgument("timestamp_granularities[]", "needs response_format=verbose_json")
    _temperature(fields)
    return value


def _temperature(fields: dict[str, list[str]]) -> None:
    """Recognition is a search here, without sampling: a temperature is checked, and changes nothing."""
    value = _one(fields, "temperature") or "0"
    try:
        valid = 0 <= float(value) <= 1
    except ValueError:
        valid = False
    if not valid:
        raise InvalidArgument("temperature", f"must be a number from 0 to 1; not {value!r}")


def _granularities(fields: dict[str, list[str]]) -> set[str]:
    name = "timestamp_granularities"
    values = {*fields.get(f"{name}[]", []), *fields.get(name, [])}
    for value in values - set(GRANULARITIES):
        _choice(f"{name}[]", value, GRANULARITIES)
    return values


def _hints(fields: dict[str, list[str]]) -> Hints:
    """`keywords[]` and `hotwords` are phrases, and so are the lines of a prompt."""
    phrases = [*fields.get("keywords[]", []), *fields.get("keywords", [])]
    phrases += [part for text in fields.get("hotwords", []) for part in text.split(",")]
    phrases += _one(fields, "prompt").splitlines()
    kept = tuple(phrase.strip() for phrase in phrases if phrase.strip())
    long = next((phrase for phrase in kept if len(phrase) > 500), None)
    if long is not None:
        raise InvalidRequest(InvalidArgument("prompt", "a line must not be longer than 500 characters").violations)
    return Hints(kept)
