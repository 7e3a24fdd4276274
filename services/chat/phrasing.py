"""What the embedded model says, in English and Vietnamese."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.chat.errors import NoDatabase
from services.chat.language import Language
from services.chat.picture_phrases import drawn
from services.chat.rules import Intent, sounds_like_data
from services.chat.tools import Drawing, Table, ToolOutput, Transcript
from services.mesh.errors import ParleyError

EN, VI = Language.ENGLISH, Language.VIETNAMESE
# A table in a text is for reading; whoever wants all rows asks the sql service.
MAX_TEXT_ROWS = 50

ABILITIES: Mapping[Language, str] = {
    EN: (
        "I can answer questions about the registered databases (for example “How many customers are "
        "there?”), in English "
        "or Vietnamese; I can transcribe audio that you attach, answer the question spoken in it, or find who said "
        "what in it; and I can fill in and call the tools that your program offers me."
    ),
    VI: (
        "Tôi có thể trả lời câu hỏi về các cơ sở dữ liệu đã đăng ký (ví dụ “Có bao nhiêu khách hàng?”) bằng "
        "tiếng Anh hoặc tiếng Việt; chép lại âm thanh bạn gửi kèm, trả lời câu hỏi được nói trong đó hoặc tìm xem ai "
        "đã nói gì; và gọi các công cụ mà chương trình của bạn cung cấp."
    ),
}

DRAWS: Mapping[Language, str] = {
    EN: " I can also have pictures drawn, for example “draw a red circle left of a blue square”.",
    VI: " Tôi cũng có thể vẽ tranh, ví dụ “vẽ hình tròn đỏ bên trái hình vuông xanh dương”.",
}

SAYINGS: Mapping[Intent, Mapping[Language, str]] = {
    Intent.GREETING: {EN: "Hello! ", VI: "Xin chào! "},
    Intent.THANKS: {EN: "You are welcome.", VI: "Không có gì."},
    Intent.IDENTITY: {
        EN: (
            "I am parley-embedded. I am not a large language model: I follow explicit rules, and behind "
            "them are an engine "
            "that turns questions into SQL and a small speech recogniser. "
        ),
        VI: (
            "Tôi là parley-embedded. Tôi không phải là mô hình ngôn ngữ lớn: tôi làm theo các quy tắc rõ "
            "ràng, phía sau là "
            "một bộ máy chuyển câu hỏi thành SQL và một bộ nhận dạng giọng nói nhỏ. "
        ),
    },
    Intent.ABILITIES: {EN: "", VI: ""},
    Intent.NOTHING: {EN: "There was nothing to answer. ", VI: "Không có gì để trả lời. "},
    Intent.TRANSCRIBE: {
        EN: "Attach a recording, and I will transcribe it.",
        VI: "Hãy gửi kèm một bản ghi âm, tôi sẽ chép lại.",
    },
    Intent.INVENT: {
        EN: "I cannot do that: I am not a language model and cannot write or invent texts. ",
        VI: "Tôi không làm được việc đó: tôi không phải là mô hình ngôn ngữ và không thể sáng tác hay dịch văn bản. ",
    },
}

_WITH_ABILITIES = {Intent.GREETING, Intent.IDENTITY, Intent.ABILITIES, Intent.NOTHING, Intent.INVENT}


def say(intent: Intent, language: Language, *, draws: bool = False) -> str:
    """The answer to what needs no tool.

    Args:
        intent: What is wanted.
        language: That of the person.
        draws: Whether pictures can be drawn here.
    """
    if intent not in _WITH_ABILITIES:
        return SAYINGS[intent][language]
    return SAYINGS[intent][language] + ABILITIES[language] + (DRAWS[language] if draws else "")


def cell(value: Any) -> str:
    """A value as text: whole numbers without a fraction, nothing for NULL."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    return str(value)


def markdown(table: Table, language: Language) -> str:
    """The table in Markdown, at most MAX_TEXT_ROWS rows, with a note where some are missing."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|").replace("\r", "").replace("\n", " ") for c in cells) + " |"

    shown = table.rows[:MAX_TEXT_ROWS]
    lines = [line([c.name for c in table.columns]), "|" + "---|" * len(table.columns)]
    lines += [line([cell(v) for v in row]) for row in shown]
    if table.truncated or len(shown) < len(table.rows):
        note = {EN: f"(the first {len(shown)} rows)", VI: f"({len(shown)} dòng đầu)"}
        lines += ["", note[language]]
    return "\n".join(lines)


def phrase(output: ToolOutput, language: Language, *, tables: bool) -> str:
    """What a tool answered, in words.

    Args:
        output: Its answer.
        language: That of the question.
        tables: Whether the text carries the rows too; a single value is in the sentence already.
    """
    if isinstance(output, Transcript):
        if not output.text:
            return {EN: "I heard no speech in the recording.", VI: "Tôi không nghe thấy lời nói nào trong bản ghi âm."}[
                language
            ]
        return {EN: f"The recording says: “{output.text}”", VI: f"Bản ghi âm nói: “{output.text}”"}[language]
    if isinstance(output, Drawing):
        return drawn(output, language)
    if isinstance(output, str):
        return output
    single = len(output.rows) <= 1 and len(output.columns) <= 1
    counted = {EN: f"{len(output.rows)} rows.", VI: f"{len(output.rows)} dòng."}[language]
    sentence = output.answer or counted
    return f"{sentence}\n\n{markdown(output, language)}" if tables and output.rows and not single else sentence


def explain(error: ParleyError, question: str, language: Language) -> str:
    """Why there is no answer, and what to do.

    Args:
        error: What the tool answered.
        question: What the person asked.
        language: That of the question.
    """
    if isinstance(error, NoDatabase):
        return _no_database(question, language)
    if error.reason == "QUESTION_NOT_UNDERSTOOD":
        return _not_understood(error, language)
    if error.reason == "INVALID_AUDIO":
        return {
            EN: f"I could not read the recording. {error.message}",
            VI: f"Tôi không đọc được bản ghi âm. {error.message}",
        }[language]
    return {
        EN: f"I could not find the answer, because a step failed: {error.message}",
        VI: f"Tôi chưa tìm được câu trả lời vì một bước đã thất bại: {error.message}",
    }[language]


def _no_database(question: str, language: Language) -> str:
    if not sounds_like_data(question):
        return {
            EN: f"I cannot answer that. {ABILITIES[EN]} No database is registered yet.",
            VI: f"Tôi không trả lời được câu đó. {ABILITIES[VI]} Chưa có cơ sở dữ liệu nào được đăng ký.",
        }[language]
    return {
        EN: (
            "No database is registered yet. Add one with `parley sql add NAME URL`, for example "
            "`parley sql add shop sqlite:///path/to/shop.db`, and ask again."
        ),
        VI: (
            "Chưa có cơ sở dữ liệu nào được đăng ký. Hãy thêm bằng lệnh `parley sql add TÊN URL`, ví dụ "
            "`parley sql add shop sqlite:///path/to/shop.db`, rồi hỏi lại."
        ),
    }[language]


def _not_understood(error: ParleyError, language: Language) -> str:
    words = [w.strip() for w in error.metadata.get("unknown_words", "").split(",") if w.strip()]
    if not words:
        return {
            EN: f"I did not understand the question. {error.message} {ABILITIES[EN]}",
            VI: f"Tôi không hiểu câu hỏi. {error.message} {ABILITIES[VI]}",
        }[language]
    quoted = ", ".join(f"“{w}”" for w in words)
    return {
        EN: f"I did not understand {quoted} in your question. Ask with words that the database has. {ABILITIES[EN]}",
        VI: f"Tôi không hiểu {quoted} trong câu hỏi. Hãy hỏi bằng những từ có trong cơ sở dữ liệu. {ABILITIES[VI]}",
    }[language]


def client_result(tool: str, content: str, language: Language) -> str:
    """What a tool of the client answered, reported and not embellished.

    Args:
        tool: Its name.
        content: What the client sent as its answer: flat JSON objects are read out, everything else is quoted.
        language: That of the question.
    """
    try:
        value = json.loads(content)
        # Escapes can stand for halves of characters, which no answer could carry.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        value = content
    flat = isinstance(value, dict) and value and not any(isinstance(v, dict | list) for v in value.values())
    said = "; ".join(f"{k}: {cell(v)}" for k, v in value.items()) if flat else content.strip()
    if not said:
        return {EN: f"The tool {tool} answered nothing.", VI: f"Công cụ {tool} không trả lời gì."}[language]
    return {EN: f"The tool {tool} answered: {said}", VI: f"Công cụ {tool} trả lời: {said}"}[language]


def unfillable(tool: str, language: Language) -> str:
    """What is said when a tool is forced whose arguments the question does not give."""
    return {
        EN: f"I could not find all required arguments of the tool {tool} in the question.",
        VI: f"Tôi không tìm thấy đủ tham số bắt buộc của công cụ {tool} trong câu hỏi.",
    }[language]


def pieces(text: str) -> list[str]:
    """The text in parts that are sent one after the other: lines, and sentences within them."""
    parts: list[str] = []
    for line in text.splitlines(keepends=True):
        start = 0
        for at in range(1, len(line)):
            if line[at - 1] in ".?!" and line[at] == " ":
                parts.append(line[start:at])
                start = at
        parts.append(line[start:])
    return [p for p in parts if p]
