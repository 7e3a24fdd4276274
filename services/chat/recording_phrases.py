"""What the embedded model says of a recording, in English and Vietnamese: what it found there, with times, quoted.

It searches, and invents nothing: what would need understanding, as a summary, it says it cannot do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.chat import recordings
from services.chat.inquiries import Inquiry, Kind
from services.chat.language import Language
from services.chat.recordings import Utterance, clock
from services.chat.tools import Speaker, Transcript

EN, VI = Language.ENGLISH, Language.VIETNAMESE
# An answer is for reading; whoever wants all of a long recording exports its transcript.
MAX_LINES = 40

ASK = {
    EN: "Ask me who spoke, for how long, who said something, when it was said, or what somebody said about it.",
    VI: "Hãy hỏi tôi ai đã nói, nói bao lâu, ai nói về điều gì, khi nào, hoặc một người đã nói gì về điều đó.",
}
CANNOT = {
    EN: f"I cannot summarise or interpret a recording: I am not a language model, I search its words. {ASK[EN]}",
    VI: f"Tôi không tóm tắt hay diễn giải bản ghi âm được: tôi không phải là mô hình ngôn ngữ, tôi chỉ tìm từ. "
    f"{ASK[VI]}",
}
UNDIVIDED = {
    EN: "The speakers were not told apart: no model that does so is loaded here.",
    VI: "Tôi chưa phân biệt được người nói: ở đây không có mô hình làm việc đó.",
}
SILENT = {
    EN: "I heard no speech in the recording.",
    VI: "Tôi không nghe thấy lời nói nào trong bản ghi âm.",
}


def overview(transcript: Transcript, language: Language, *, lines: bool) -> str:
    """What is said of a recording that nothing was asked about.

    Args:
        transcript: The recording.
        language: To say it in.
        lines: Whether the text carries the transcript too.
    """
    if not transcript.text:
        return SILENT[language]
    length = {EN: "I transcribed the recording, {} long.", VI: "Tôi đã chép lại bản ghi âm dài {}."}[language]
    parts = [length.format(clock(transcript.duration)), _speakers(transcript, language), ASK[language]]
    return " ".join(parts) + (f"\n\n{_lines(transcript, recordings.utterances(transcript), language)}" if lines else "")


def answer(asked: Inquiry, transcript: Transcript) -> str:
    """The answer to a question about a recording."""
    language = asked.language
    if not transcript.text:
        return SILENT[language]
    if asked.speaker and asked.kind in _ABOUT_SOMEBODY:
        if not transcript.speakers:
            return UNDIVIDED[language]
        somebody = recordings.speaker(transcript, asked.speaker)
        if somebody is None:
            return _nobody(asked.speaker, transcript, language)
        return _said(asked, transcript, somebody)
    return _ANSWERS[asked.kind](asked, transcript)


def noted(names: dict[str, str], transcript: Transcript, language: Language) -> str:
    """What is said to who names speakers."""
    known = {s.id: s.name for s in transcript.speakers}
    missing = [identifier for identifier in names if identifier not in known]
    if missing:
        return _nobody(missing[0], transcript, language)
    pairs = ", ".join(f"{identifier} = {name}" for identifier, name in names.items())
    return {EN: f"Noted: {pairs}.", VI: f"Đã ghi nhớ: {pairs}."}[language]


def _speakers(transcript: Transcript, language: Language) -> str:
    """Who speaks, the longest first, and for how long."""
    if not transcript.speakers:
        return UNDIVIDED[language]
    ranked = sorted(transcript.speakers, key=lambda s: -s.seconds)
    each = ", ".join(f"{s.name} ({clock(s.seconds)})" for s in ranked)
    count = len(ranked)
    if language is VI:
        return f"Có {count} người nói: {each}."
    return f"One person speaks: {each}." if count == 1 else f"{count} people speak: {each}."


def _said(asked: Inquiry, transcript: Transcript, somebody: Speaker) -> str:
    """What somebody said, all or about a topic; for how long."""
    language, name = asked.language, somebody.name
    if asked.kind is Kind.SPOKE_LENGTH:
        text = {EN: "{} speaks for {} of {}.", VI: "{} nói {} trong tổng số {}."}[language]
        return text.format(name, clock(somebody.seconds), clock(transcript.duration))
    if asked.topic:
        return _found(asked, transcript, somebody.id)
    theirs = [utterance for utterance in recordings.utterances(transcript) if utterance.speaker == somebody.id]
    head = {EN: f"{name} says:", VI: f"{name} nói:"}[language]
    return f"{head}\n\n{_lines(transcript, theirs, language)}"


def _found(asked: Inquiry, transcript: Transcript, by: str = "") -> str:
    """Where a topic is mentioned: by whom, when, in which words."""
    language, topic = asked.language, " ".join(recordings.content(asked.topic))
    found = recordings.mentions(transcript, asked.topic, by)
    if not found:
        who = next((s.name for s in transcript.speakers if s.id == by), {EN: "anybody", VI: "ai"}[language])
        return {
            EN: f"I find no place where {who} says “{topic}”. I search for the words themselves, and the recogniser "
            "may have heard others.",
            VI: f"Tôi không tìm thấy chỗ nào {who} nói “{topic}”. Tôi chỉ tìm đúng các từ đó, và máy có thể đã nghe "
            "thành từ khác.",
        }[language]
    head = _who(asked, transcript, [segment.speaker for segment in found], topic)
    quoted = [Utterance(segment.speaker, segment.start, segment.end, segment.text) for segment in found]
    return f"{head}\n\n{_lines(transcript, quoted, language)}"


def _who(asked: Inquiry, transcript: Transcript, speakers: Sequence[str], topic: str) -> str:
    """How often something is said, and by whom."""
    names = {s.id: s.name for s in transcript.speakers}
    people = ", ".join(dict.fromkeys(names[s] for s in speakers if s in names))
    times = len(speakers)
    if asked.language is VI:
        return f"“{topic}” được nói đến {times} lần" + (f", bởi {people}:" if people else ":")
    return f"“{topic}” is said {'once' if times == 1 else f'{times} times'}" + (f", by {people}:" if people else ":")


def _lines(transcript: Transcript, shown: Sequence[Utterance], language: Language) -> str:
    """Turns, each with its time and speaker; where they are too many, the first of them."""
    lines = [recordings.line(transcript, utterance) for utterance in shown[:MAX_LINES]]
    left = len(shown) - len(lines)
    if left:
        lines.append({EN: f"… and {left} more", VI: f"… và {left} đoạn nữa"}[language])
    return "\n".join(lines)


def _nobody(wanted: str, transcript: Transcript, language: Language) -> str:
    """There is no such speaker."""
    if not transcript.speakers:
        return UNDIVIDED[language]
    names = ", ".join(s.name for s in transcript.speakers)
    first = transcript.speakers[0].id
    return {
        EN: f"No speaker is called “{wanted}”; the speakers are {names}. Say “{first} is …” to name one.",
        VI: f"Không có người nói nào tên “{wanted}”; những người nói là {names}. Hãy viết “{first} là …” để đặt tên.",
    }[language]


def _summary(asked: Inquiry, _transcript: Transcript) -> str:
    return CANNOT[asked.language]


def _transcript(asked: Inquiry, transcript: Transcript) -> str:
    lines = _lines(transcript, recordings.utterances(transcript), asked.language)
    return lines if transcript.speakers else f"{UNDIVIDED[asked.language]}\n\n{lines}"


def _length(asked: Inquiry, transcript: Transcript) -> str:
    text = {EN: "The recording is {} long.", VI: "Bản ghi âm dài {}."}[asked.language]
    return text.format(clock(transcript.duration))


def _other(asked: Inquiry, transcript: Transcript) -> str:
    """A question that no rule knows: the places that have all of its words, if there are any."""
    if recordings.mentions(transcript, asked.topic):
        return _found(asked, transcript)
    return CANNOT[asked.language]


_ABOUT_SOMEBODY = frozenset([Kind.SPOKE_LENGTH, Kind.SAID_BY, Kind.WHEN, Kind.ABOUT])
_ANSWERS: dict[Kind, Callable[[Inquiry, Transcript], str]] = {
    Kind.SUMMARY: _summary,
    Kind.TRANSCRIPT: _transcript,
    Kind.LENGTH: _length,
    Kind.SPEAKERS: lambda asked, transcript: _speakers(transcript, asked.language),
    Kind.WHO_SAID: _found,
    Kind.WHEN: _found,
    Kind.ABOUT: _found,
    Kind.OTHER: _other,
}
