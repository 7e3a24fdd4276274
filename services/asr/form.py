"""The multipart forms of OpenAI's transcriptions and translations: parsed, bounded, every field checked by name."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from services.asr.endpoint import EndpointOptions
from services.asr.formats import FORMATS
from services.asr.models import RECOGNISERS
from services.asr.transcript import Config, Diarization, Hints, KnownSpeaker
from services.mesh.errors import InvalidArgument, InvalidRequest
from services.mesh.form import read

MAX_FIELD = 64 * 1024
MAX_REFERENCE = 4 * 1024 * 1024
ALIASES = {
    "default": "",
    "gpt-4o-mini-transcribe": "",
    "gpt-4o-mini-transcribe-2025-12-15": "",
    "gpt-4o-transcribe": "",
    "gpt-4o-transcribe-diarize": "",
    "gpt-transcribe": "",
    "whisper-1": "",
}
"""Names that OpenAI's clients send by habit mean the deployment's default model."""
GRANULARITIES = ("word", "segment")
# Formats of which events are a stream: the others have times, which events have not.
STREAMED = ("json", "text", "diarized_json")
TRANSLATED = ("json", "text", "srt", "verbose_json", "vtt")
MAX_KNOWN = 4
AUTO = EndpointOptions()
MAX_LANGUAGES = 16
NAMES, REFERENCES = "known_speaker_names[]", "known_speaker_references[]"
CHUNKING = "chunking_strategy"
# What server_vad may set: lowest and highest value.
VAD = {"prefix_padding_ms": (0, 2000), "silence_duration_ms": (100, 5000), "threshold": (0.05, 0.95)}


@dataclass(frozen=True, slots=True)
class Form:
    """A transcription or translation request."""

    audio: bytes
    config: Config
    format: str = "json"
    stream: bool = False
    words: bool = False
    segments: bool = True
    logprobs: bool = False
    endpoints: EndpointOptions = AUTO


def parse(body: bytes, content_type: str, default_model: str = "") -> Form:
    """Reads the form of a transcription.

    Args:
        body: The form's bytes.
        content_type: With its boundary.
        default_model: Id of the model that a request means which names none; empty: its language is not checked.

    Raises:
        InvalidArgument: A field is wrong; it is named.
    """
    fields, audio = _parts(body, content_type)
    model, recording = _model(fields), _file(audio)
    kinds = _granularities(fields)
    stream = _boolean(fields, "stream")
    chosen = _format(fields, kinds, stream)
    config = Config(
        model,
        _language(fields, model or default_model),
        _hints(fields),
        _diarization(fields, chosen),
        languages=_languages(fields),
    )
    return Form(
        audio=recording,
        config=config,
        format=chosen,
        stream=stream,
        words="word" in kinds,
        segments="segment" in kinds or not kinds,
        logprobs=_logprobs(fields, chosen),
        endpoints=_chunking(fields),
    )


def parse_translation(body: bytes, content_type: str) -> Form:
    """Reads the form of a translation. Raises InvalidArgument, naming the field."""
    fields, audio = _parts(body, content_type)
    model, recording = _model(fields), _file(audio)
    chosen = _one(fields, "response_format") or "json"
    if chosen not in TRANSLATED:
        _choice("response_format", chosen, TRANSLATED)
    _temperature(fields)
    return Form(recording, Config(model, hints=_hints(fields), translate=True), chosen)


def _model(fields: dict[str, list[str]]) -> str:
    if "model" not in fields:
        raise InvalidArgument(
            "model", "is required: a speech model, e.g. `pocketsphinx`, or `whisper-1` for the default"
        )
    return ALIASES.get(fields["model"][-1], fields["model"][-1])


def _file(audio: bytes | None) -> bytes:
    if audio is None:
        raise InvalidArgument("file", "is required: the recording, as a file part of the form")
    return audio


def _parts(body: bytes, content_type: str) -> tuple[dict[str, list[str]], bytes | None]:
    """The text fields, and the file. Raises InvalidArgument for what is no multipart form."""
    form = read(body, content_type, ("file",), _longest)
    return form.fields, form.files["file"][-1] if "file" in form.files else None


def _longest(field: str) -> int:
    """Bytes that a text field may have; recordings inside one are larger."""
    return MAX_REFERENCE if field.startswith(REFERENCES.removesuffix("[]")) else MAX_FIELD


def _many(fields: dict[str, list[str]], name: str) -> list[str]:
    """The values of a list, whether its name was sent with brackets or without."""
    bare = name.removesuffix("[]")
    return [value for key in (f"{bare}[]", bare) for value in fields.get(key, [])]


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
    known = next((m for m in RECOGNISERS if m.id == model), None)
    if value and known is not None and not known.knows(value):
        raise InvalidArgument("language", f"{model} knows {', '.join(known.languages)}; not {value!r}")
    return value


def _languages(fields: dict[str, list[str]]) -> tuple[str, ...]:
    """The languages that may be spoken."""
    values = tuple(value.strip() for value in _many(fields, "languages[]") if value.strip())
    if values and _one(fields, "language"):
        raise InvalidArgument("languages[]", "only without `language`; send one of them")
    if len(values) > MAX_LANGUAGES or any(len(value) > 35 for value in values):
        raise InvalidArgument("languages[]", f"must be at most {MAX_LANGUAGES} codes, e.g. `en` or `vi-VN`")
    return values


def _logprobs(fields: dict[str, list[str]], chosen: str) -> bool:
    values = _many(fields, "include[]")
    for value in values:
        if value != "logprobs":
            _choice("include[]", value, ("logprobs",))
    if values and chosen != "json":
        raise InvalidArgument("include[]", "needs response_format=json")
    return bool(values)


def _diarization(fields: dict[str, list[str]], chosen: str) -> Diarization | None:
    """Speakers are told apart for diarized_json, and where some are known."""
    names, references = _many(fields, NAMES), _many(fields, REFERENCES)
    if len(names) > MAX_KNOWN:
        raise InvalidArgument(NAMES, f"must be at most {MAX_KNOWN}")
    if len(names) != len(references):
        raise InvalidArgument(REFERENCES, f"must be as many as {NAMES}: one for each, in the same order")
    if len(set(names)) < len(names) or any(not 0 < len(name.strip()) <= 100 for name in names):
        raise InvalidArgument(NAMES, "must be different names of 1 to 100 characters")
    if not names and chosen != "diarized_json":
        return None
    known = tuple(
        KnownSpeaker(name.strip(), _reference(place, url))
        for place, (name, url) in enumerate(zip(names, references, strict=True))
    )
    return Diarization(known=known)


def _reference(place: int, url: str) -> bytes:
    """The recording inside a data URL. No other URL is followed."""
    try:
        if not url.startswith("data:"):
            raise ValueError(url[:20])
        with urllib.request.urlopen(url) as data:  # noqa: S310  # the scheme is checked: it stays in memory
            return bytes(data.read())
    except ValueError:
        field = f"known_speaker_references[{place}]"
        raise InvalidArgument(field, "must be a data URL: data:audio/wav;base64,…") from None


def _chunking(fields: dict[str, list[str]]) -> EndpointOptions:
    """When a segment begins and ends: `auto`, or what server_vad sets, as JSON or in fields of their own."""
    given: dict[str, Any] = {
        key.removeprefix(f"{CHUNKING}[").removesuffix("]"): values[-1]
        for key, values in fields.items()
        if key.startswith(f"{CHUNKING}[")
    }
    value = _one(fields, CHUNKING)
    if value.startswith("{"):
        try:
            given |= json.loads(value)
        except ValueError:
            raise InvalidArgument(CHUNKING, "must be auto, or a JSON object of type server_vad") from None
    elif value not in ("", "auto"):
        raise InvalidArgument(CHUNKING, f"must be auto, or an object of type server_vad; not {value!r}")
    return _endpoints(given) if given else AUTO


def _endpoints(given: dict[str, Any]) -> EndpointOptions:
    """The settings of server_vad. Raises InvalidArgument, naming the one at fault."""
    if given.pop("type", None) != "server_vad":
        raise InvalidArgument(f"{CHUNKING}[type]", "must be server_vad")
    if unknown := sorted(set(given) - set(VAD)):
        raise InvalidArgument(f"{CHUNKING}[{unknown[0]}]", f"is not known; there are {', '.join(VAD)}")
    values = {name: _number(name, value) for name, value in given.items()}
    options = AUTO
    if "prefix_padding_ms" in values:
        options = replace(options, pad=values["prefix_padding_ms"] / 1000)
    if "silence_duration_ms" in values:
        options = replace(options, silence=values["silence_duration_ms"] / 1000)
    if "threshold" in values:
        begin = values["threshold"]
        # Speech ends below a lower one, in the proportion of the defaults.
        options = replace(options, begin=begin, end=begin * options.end / options.begin, sure=max(begin, options.sure))
    return options


def _number(name: str, value: Any) -> float:
    low, high = VAD[name]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        raise InvalidArgument(f"{CHUNKING}[{name}]", f"must be a number from {low} to {high}; not {value!r}")
    return number


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
    name = "timestamp_granularities[]"
    values = set(_many(fields, name))
    for value in values - set(GRANULARITIES):
        _choice(name, value, GRANULARITIES)
    return values


def _hints(fields: dict[str, list[str]]) -> Hints:
    """`keywords[]` and `hotwords` are phrases, and so are the lines of a prompt."""
    phrases = _many(fields, "keywords[]")
    phrases += [part for text in fields.get("hotwords", []) for part in text.split(",")]
    phrases += _one(fields, "prompt").splitlines()
    kept = tuple(phrase.strip() for phrase in phrases if phrase.strip())
    long = next((phrase for phrase in kept if len(phrase) > 500), None)
    if long is not None:
        raise InvalidRequest(InvalidArgument("prompt", "a line must not be longer than 500 characters").violations)
    return Hints(kept)
