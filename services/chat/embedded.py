"""`parley-embedded`: the chat model that needs no model. It decides by rules, calls tools and phrases what they answer.

It is not a language model and says so when asked. Each turn follows from the last message: a person's is classified
(services/chat/rules.py), a tool's answer is put into words (services/chat/phrasing.py).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence

from services.chat import client_tools, inquiries, phrasing, picture_phrases, recording_phrases, recordings, wishes
from services.chat.language import detect
from services.chat.models import (
    Choice,
    Finished,
    FinishReason,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Options,
    PromptMessage,
    Role,
    TextDelta,
    ToolCalled,
    Usage,
)
from services.chat.rules import Intent, classify
from services.chat.tools import ASK, GENERATE, LIST_DATABASES, ToolCall, Transcript
from services.chat.wishes import Kind, Wish

ID = "parley-embedded"
DESCRIPTION = (
    "No language model: explicit rules in English and Vietnamese that answer questions about registered databases, "
    "transcribe attached recordings, find in them who said what, have pictures drawn, and call the client's tools."
)


class EmbeddedModel:
    """Answers by rules."""

    info = ModelInfo(ID, "parley", DESCRIPTION)

    async def generate(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """One turn: a tool call, or text with the usage counted in words."""
        step = _next(request)
        if isinstance(step, ToolCall):
            yield ToolCalled(step)
            # Parley's own tools are no part of the answer; a call of the client's is all of it.
            if any(tool.name == step.tool for tool in request.client_tools):
                yield Usage(_read(request), len(json.dumps({step.tool: step.arguments}).split()))
            yield Finished(FinishReason.TOOL_CALLS)
            return
        text, reason = limited(step, request.options)
        for piece in phrasing.pieces(text):
            yield TextDelta(piece)
        yield Usage(_read(request), len(text.split()))
        yield Finished(reason)


def _read(request: ModelRequest) -> int:
    """The words of the conversation."""
    return sum(len(m.text.split()) for m in request.messages)


def _next(request: ModelRequest) -> ToolCall | str:
    """What follows from the last message: a call, or the text of the answer."""
    last = request.messages[-1]
    question = _question(request.messages)
    if last.role is not Role.TOOL:
        return _decide(question, request)
    asked = _wish(question, request)
    language = asked.language if asked is not None else detect(question)
    tool = next((c.tool for m in request.messages for c in m.calls if c.id == last.call_id), last.call_id)
    if last.result is None:
        return phrasing.client_result(tool, last.text, language)
    if last.result.error is not None:
        if tool == GENERATE:
            return picture_phrases.explain(last.result.error, language)
        return phrasing.explain(last.result.error, question, language)
    output = last.result.output
    if isinstance(output, Transcript) and output.recording:
        return _of_recording(_typed(request.messages), request)
    if isinstance(output, Transcript) and output.text and classify(_typed(request.messages)) is not Intent.TRANSCRIBE:
        return _decide(output.text, request)
    assert output is not None  # a result without an error has an output
    return phrasing.phrase(output, language, tables=request.options.tables_in_text)


def _decide(question: str, request: ModelRequest) -> ToolCall | str:
    """The rules: the client's tools, pictures, a recording of the conversation, small talk, then the database."""
    language = detect(question)
    number = sum(len(m.calls) for m in request.messages) + 1
    chosen = client_tools.choose(question, request.client_tools, request.choice)
    if chosen is not None:
        return ToolCall(f"call_{number}", chosen[0].name, chosen[1])
    if request.client_tools and (request.choice.name or request.choice.choice is Choice.REQUIRED):
        return phrasing.unfillable(request.choice.name or request.client_tools[0].name, language)
    offered = {tool.name for tool in request.tools}
    asked = _wish(question, request)
    if asked is not None and asked.kind is not Kind.CHART:
        return _drawing(asked, f"call_{number}") if GENERATE in offered else picture_phrases.MISSING[asked.language]
    about = _about_recording(question, request)
    if about:
        return about
    intent = classify(question)
    if intent is Intent.LIST_DATABASES and LIST_DATABASES in offered:
        return ToolCall(f"call_{number}", LIST_DATABASES, {})
    if intent in (Intent.QUESTION, Intent.LIST_DATABASES) and ASK in offered:
        # Of a chart, what it is to show: the words around that mean nothing to a database.
        return ToolCall(
            f"call_{number}", ASK, {"question": asked.what if asked is not None and asked.what else question}
        )
    if intent in (Intent.QUESTION, Intent.LIST_DATABASES):
        intent = Intent.ABILITIES
    return phrasing.say(intent, language, draws=GENERATE in offered)


def _wish(question: str, request: ModelRequest) -> Wish | None:
    """What a question asks to have drawn, perhaps again."""
    return wishes.wish(question, picture_phrases.earlier(request.messages))


def _drawing(asked: Wish, call_id: str) -> ToolCall | str:
    """The call that draws what is wished, or the question back."""
    if asked.kind is not Kind.PICTURE:
        unclear = asked.kind is Kind.UNCLEAR
        return (picture_phrases.UNCLEAR if unclear else picture_phrases.ASK_BACK)[asked.language]
    arguments: dict[str, str | int] = {"prompt": asked.what}
    if asked.count != 1:
        arguments["count"] = asked.count
    if asked.seed is not None:
        arguments["seed"] = asked.seed
    return ToolCall(call_id, GENERATE, arguments)


def _of_recording(typed: str, request: ModelRequest) -> str:
    """What is said of a recording that has just been transcribed: what was asked about it, else what it is."""
    about = _about_recording(typed, request)
    if about:
        return about
    transcript = recordings.latest(request.messages)
    assert transcript is not None  # the last message is one
    language = detect(typed or transcript.text)
    return recording_phrases.overview(transcript, language, lines=request.options.tables_in_text)


def _about_recording(question: str, request: ModelRequest) -> str:
    """The answer to a question about the newest recording of the conversation; empty where it is about none."""
    transcript = recordings.latest(request.messages)
    if transcript is None:
        return ""
    asked = inquiries.inquiry(question)
    if asked is not None:
        return recording_phrases.answer(asked, transcript)
    given = inquiries.names([question])
    return recording_phrases.noted(given, transcript, detect(question)) if given else ""


def _typed(messages: Sequence[PromptMessage]) -> str:
    """What the person typed last."""
    return next((m.text for m in reversed(messages) if m.role is Role.USER), "")


def _question(messages: Sequence[PromptMessage]) -> str:
    """What the person asked last: spoken where a transcript follows the typed message, else typed."""
    for message in reversed(messages):
        if message.role is Role.USER:
            return message.text
        result = message.result
        heard = result.output if result is not None else None
        if isinstance(heard, Transcript) and heard.text and not heard.recording:
            return heard.text
    return ""


def limited(text: str, options: Options) -> tuple[str, FinishReason]:
    """The text up to the first stop text and the word limit, and why it ends there."""
    for stop in options.stop:
        text = text.split(stop, 1)[0]
    if options.max_tokens is None:
        return text, FinishReason.STOP
    words, position = 0, 0
    while words < options.max_tokens:
        start = next((i for i in range(position, len(text)) if not text[i].isspace()), None)
        if start is None:
            return text, FinishReason.STOP
        position = next((i for i in range(start, len(text)) if text[i].isspace()), len(text))
        words += 1
    return (text, FinishReason.STOP) if not text[position:].strip() else (text[:position], FinishReason.LENGTH)
