"""What people ask about a recording: one table of patterns, English and Vietnamese, read from top to bottom.

As in services/chat/rules.py the patterns are matched against the folded text. Words such as “in the meeting” around a
question are cut off first; that they were there says that it is about the recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from services.chat.language import Language, detect, fold

EN, VI = Language.ENGLISH, Language.VIETNAMESE


class Kind(StrEnum):
    """What is asked."""

    SUMMARY = "summary"
    TRANSCRIPT = "transcript"
    LENGTH = "length"
    SPEAKERS = "speakers"
    SPOKE_LENGTH = "spoke_length"
    SAID_BY = "said_by"
    WHO_SAID = "who_said"
    WHEN = "when"
    ABOUT = "about"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question about a recording.

    Attributes:
        kind: What is asked.
        language: Of the question.
        speaker: Who it is about, folded; empty for anybody.
        topic: What it is about, folded; empty for anything.
    """

    kind: Kind
    language: Language
    speaker: str = ""
    topic: str = ""


class Rule(NamedTuple):
    """A pattern that the whole folded text has to match, with the groups `speaker` and `topic`."""

    kind: Kind
    language: Language
    pattern: re.Pattern[str]


# What surely means a recording of several people, and what may mean any.
_MEETING = (
    r"(?:meeting|interview|conversation|discussion|dialogue|podcast|lecture|phone call|stand ?up|"
    r"cuoc hop|buoi hop|cuoc hoi thoai|doan hoi thoai|cuoc noi chuyen|cuoc tro chuyen|cuoc phong van|buoi phong van|"
    r"cuoc thao luan|buoi thao luan|cuoc goi|bai giang)"
)
_RECORDING = (
    rf"(?:{_MEETING}|recording|audio|clip|call|talk|voice memo|ban ghi am|doan ghi am|doan am thanh|file ghi am)"
)
_THIS = r"(?:(?:the|this|that|my|our|today's) )?"
_THAT = r"(?: (?:nay|do|kia|hom nay))?"
_AROUND = re.compile(
    rf"^(?:in|during|from|on|trong) {_THIS}{_RECORDING}{_THAT} |"
    rf" (?:in|during|from|of|on|at|trong|cua|tu) {_THIS}{_RECORDING}{_THAT}$"
)
_NAMED = re.compile(rf"\b{_MEETING}\b")
_PLEASE = r"(?:please |can you |could you |would you |hay |xin hay |xin |vui long |lam on |giup toi |cho toi )*"
# Those who stand for anybody are no speaker.
_WHO = r"(?!(?:they|people|anyone|anybody|someone|we|you|ho|moi nguoi|co ai)\b)(?P<speaker>[\w']+(?: [\w']+){0,3}?)"
_TOPIC = r"(?P<topic>.+)"
_WHAT = rf"(?:it|this|that|everything|{_THIS}{_RECORDING}|what (?:was|is|they) sa(?:id|y))"
_SAY_VI = r"(?:noi|nhac|de cap|ban|trao doi|hoi)"


def _rule(kind: Kind, language: Language, pattern: str) -> Rule:
    return Rule(kind, language, re.compile(pattern))


RULES: tuple[Rule, ...] = (
    _rule(
        Kind.SUMMARY,
        EN,
        rf"{_PLEASE}(?:(?:summari[sz]e|sum up|recap)(?: {_WHAT})?|"
        r"(?:give me |write |make )?(?:a |the )?(?:short |brief |quick )?(?:summary|recap|minutes|abstract)"
        rf"(?: of {_WHAT})?|"
        rf"what (?:is|was) {_WHAT} about|"
        r"(?:what (?:are|were) )?(?:the )?(?:main |key )?(?:points|takeaways|action items|decisions|conclusions)|"
        r"what (?:was|did (?:they|we)) (?:decided?|agreed?)(?: on)?)",
    ),
    _rule(
        Kind.SUMMARY,
        VI,
        rf"{_PLEASE}(?:tom tat(?: lai)?(?: (?:noi dung |lai )?(?:{_RECORDING})?{_THAT})?|"
        rf"(?:noi dung chinh|y chinh|ket luan|bien ban)(?: (?:la gi|{_RECORDING}))?{_THAT})",
    ),
    _rule(
        Kind.TRANSCRIPT,
        EN,
        rf"{_PLEASE}(?:(?:show|give|print|read|see|repeat)(?: me)? )?(?:the )?(?:full |whole )?transcript(?: again)?|"
        rf"{_PLEASE}transcribe(?: {_WHAT})?(?: (?:with|by) (?:the )?speakers?)?",
    ),
    _rule(
        Kind.TRANSCRIPT,
        VI,
        rf"{_PLEASE}(?:(?:xem|hien|in|doc) )?(?:(?:chep|ghi) lai|phien am|ban chep(?: loi)?|loi thoai|transcript)"
        rf"(?: {_RECORDING})?{_THAT}",
    ),
    _rule(Kind.LENGTH, EN, rf"how long (?:is|was) (?:it|{_THIS}{_RECORDING})"),
    _rule(Kind.LENGTH, VI, rf"{_RECORDING}{_THAT} (?:dai|keo dai) (?:bao lau|bao nhieu|may) ?(?:phut|giay)?"),
    _rule(
        Kind.SPEAKERS,
        EN,
        r"who (?:(?:all )?(?:spoke|speaks|talked|talks|participated|took part)|"
        r"(?:is|was|are|were) (?:speaking|talking)|"
        r"(?:are|were) the (?:speakers|participants))(?: (?:the )?(?:most|longest|least|more))?|"
        r"(?:list |name |show |what are |who are )?(?:all )?(?:the )?speakers|"
        r"how many (?:speakers|voices)(?: are there)?|"
        r"how many (?:people|persons) (?:speak|spoke|talk|talked|took part|(?:are|were) (?:speaking|talking))",
    ),
    _rule(
        Kind.SPEAKERS,
        VI,
        r"(?:nhung )?ai (?:da |dang )?(?:noi|noi chuyen|phat bieu|tham gia)(?: (?:nhieu|lau|dai|it) nhat)?|"
        r"(?:co )?(?:may|bao nhieu) (?:nguoi|giong)(?: da| dang)? (?:noi|noi chuyen|phat bieu|tham gia)",
    ),
    _rule(
        Kind.SPOKE_LENGTH,
        EN,
        rf"(?:for )?how (?:long|much|many (?:seconds|minutes)) (?:did|does|has|was|is) {_WHO} "
        r"(?:speak|talk|spoken|talked|speaking|talking)",
    ),
    _rule(Kind.SPOKE_LENGTH, VI, rf"{_WHO} (?:da )?noi (?:trong |het )?(?:bao lau|(?:may|bao nhieu) (?:phut|giay))"),
    _rule(
        Kind.WHO_SAID,
        EN,
        r"who (?:said|says|mentioned|mentions|brought up|raised|asked for|"
        r"(?:said|says) (?:something|anything) about|(?:talked|talks|spoke|speaks|asked|asks) (?:about|of)|asked|asks) "
        rf"{_TOPIC}",
    ),
    _rule(Kind.WHO_SAID, VI, rf"(?:nhung )?ai (?:da )?{_SAY_VI}(?: (?:ve|den|toi|rang|la))* {_TOPIC}"),
    _rule(
        Kind.WHEN,
        EN,
        rf"(?:when|where|at what (?:time|point)) (?:was|were|is|are) {_TOPIC} (?:mentioned|said|discussed|brought up|"
        r"talked about|spoken (?:of|about))",
    ),
    _rule(
        Kind.WHEN,
        EN,
        rf"(?:when|where|at what (?:time|point)) (?:did|does|do) (?:they|people|anyone|anybody|someone|we|{_WHO}) "
        r"(?:say|mention|bring up|ask for|discuss|"
        rf"(?:talk|speak|ask|say (?:something|anything)) (?:about|of)) {_TOPIC}",
    ),
    _rule(
        Kind.WHEN,
        VI,
        rf"(?:khi nao|luc nao|(?:o )?phut (?:thu )?may)(?: thi)?(?: (?:ho|moi nguoi|{_WHO}))? (?:da )?{_SAY_VI} "
        rf"(?:den|ve|toi) {_TOPIC}",
    ),
    _rule(
        Kind.WHEN,
        VI,
        rf"(?P<topic>.+?) (?:da )?(?:duoc |bi )?{_SAY_VI}(?: (?:den|ve|toi))? (?:vao |o )?"
        r"(?:khi nao|luc nao|phut (?:thu )?may)",
    ),
    _rule(
        Kind.ABOUT,
        EN,
        r"what (?:was|is|were) (?:said|mentioned|discussed|asked) (?:about|on|of|regarding) " + _TOPIC,
    ),
    _rule(
        Kind.ABOUT, EN, rf"what (?:did|do) (?:they|people|we|you all|everyone) (?:say|talk|think) (?:about|on) {_TOPIC}"
    ),
    _rule(Kind.ABOUT, EN, rf"(?:is|was|were|are) {_TOPIC} (?:mentioned|discussed|talked about|brought up)"),
    _rule(Kind.ABOUT, EN, rf"did (?:anyone|anybody|someone|they|{_WHO}) (?:say|mention|talk about|bring up) {_TOPIC}"),
    _rule(
        Kind.ABOUT, VI, rf"(?:ho|moi nguoi|co ai) (?:da )?{_SAY_VI}(?: (?:gi|nhung gi))?(?: (?:ve|den|toi))+ {_TOPIC}"
    ),
    _rule(
        Kind.SAID_BY,
        EN,
        r"what (?:else )?(?:did|does|do|has|is|was) (?!(?:i|he|she|it|this|that)\b)"
        rf"{_WHO} (?:say|said|saying|talk|talking|tell|mention|ask|answer|think)(?: us| me)?"
        rf"(?: (?:about|on|of|regarding) {_TOPIC})?",
    ),
    _rule(
        Kind.SAID_BY,
        VI,
        rf"{_WHO} (?:da )?(?:noi|phat bieu|hoi|tra loi|nhac|de cap)(?: (?:nhung )?(?:gi|dieu gi|cai gi|the nao))"
        rf"(?: (?:ve|den|toi) {_TOPIC})?",
    ),
)
NAMING = re.compile(
    r"\b(S\d{1,3}|speaker \d{1,3}|người nói (?:số |thứ )?\d{1,3})"
    r"(?: (?:is|là|was)(?: called| named)?| ?=|’s name is|'s name is| tên(?: là)?) "
    r"([^\s.,;:!?][^.,;:!?\n]{0,59}?)(?=\s*(?:$|[.,;:!?\n]| and | và ))",
    re.IGNORECASE,
)
# “S1 is who?” gives no name.
NO_NAMES = frozenset(["who", "ai", "what", "gi", "not", "khong", "speaking", "talking"])
NUMBERS = {"one": "1", "two": "2", "three": "3", "four": "4", "mot": "1", "hai": "2", "ba": "3", "bon": "4"}


def inquiry(text: str) -> Inquiry | None:
    """What a text asks about a recording; None where it is about none."""
    folded = fold(text)
    bare = _AROUND.sub("", folded, count=2)
    for rule in RULES:
        # As it stands too: what “the length of the recording” is of belongs to it.
        found = rule.pattern.fullmatch(bare) or rule.pattern.fullmatch(folded)
        if found is not None:
            groups = found.groupdict()
            return Inquiry(rule.kind, rule.language, groups.get("speaker") or "", groups.get("topic") or "")
    if bare != folded or _NAMED.search(folded):
        return Inquiry(Kind.OTHER, detect(text), topic=bare)
    return None


def asks_about_recording(text: str) -> bool:
    """Whether what is written beside a recording asks about it, as one does of a meeting and of no spoken question."""
    asked = inquiry(text)
    return asked is not None and asked.kind is not Kind.TRANSCRIPT


def names(texts: Iterable[str]) -> dict[str, str]:
    """The names that people gave to speakers (“S1 is Anna”), by the speaker's id; the last one holds."""
    found: dict[str, str] = {}
    for text in texts:
        for speaker, name in NAMING.findall(text):
            if fold(name).partition(" ")[0] not in NO_NAMES:
                found[speaker_id(fold(speaker))] = name
    return found


def speaker_id(folded: str) -> str:
    """`speaker 2`, `speaker two`, `nguoi noi so 2`, `s2` → S2; a name stays as it is."""
    found = re.fullmatch(r"(?:s|speaker |nguoi (?:noi )?(?:so |thu )?)(\d{1,3}|" + "|".join(NUMBERS) + ")", folded)
    return f"S{NUMBERS.get(found[1], found[1])}" if found else folded
