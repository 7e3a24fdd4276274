"""What people ask to have drawn: one table of patterns, English and Vietnamese, read from top to bottom.

As in services/chat/rules.py the patterns are matched against the folded text; what is to be drawn is then taken from
the text as it was written, because models read marks and capitals. Charts are asked of the database: they show data.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from services.chat import colours
from services.chat.language import Language, fold
from services.chat.rules import sounds_like_data

EN, VI = Language.ENGLISH, Language.VIETNAMESE


class Kind(StrEnum):
    """What is wanted."""

    PICTURE = "picture"
    CHART = "chart"
    NOTHING = "nothing"
    """A picture, of nothing that is said."""
    UNCLEAR = "unclear"
    """Another colour, of which it is not clear where."""
    AGAIN = "again"
    COLOUR = "colour"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the answer before drew; `seed` is None where it is not known."""

    prompt: str
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be drawn.

    Attributes:
        kind: PICTURE, CHART, NOTHING or UNCLEAR.
        language: Of the wish.
        what: The prompt as it was written; for a chart, the question that has its figures.
        count: How many pictures.
        seed: What to draw it with; None: by chance.
    """

    kind: Kind
    language: Language
    what: str = ""
    count: int = 1
    seed: int | None = None


class Rule(NamedTuple):
    """A pattern that the whole folded text has to match.

    Its groups: `what` is to be drawn, `count` or `times` how often; `colour` (or `only`) and `thing`, of an earlier
    picture. The words in the groups `ve` and `anh` have to be “vẽ” and “ảnh”, where the text has marks at all.
    """

    kind: Kind
    language: Language
    pattern: re.Pattern[str]


NUMBERS = {
    **dict.fromkeys(("a", "an", "one", "mot"), 1), **dict.fromkeys(("two", "a couple of", "hai"), 2),
    **dict.fromkeys(("three", "a few", "ba"), 3), **dict.fromkeys(("four", "bon"), 4),
    **dict.fromkeys(("five", "nam"), 5), **dict.fromkeys(("six", "sau"), 6), **dict.fromkeys(("seven", "bay"), 7),
    **dict.fromkeys(("eight", "tam"), 8), **dict.fromkeys(("nine", "chin"), 9), **dict.fromkeys(("ten", "muoi"), 10),
}  # fmt: skip
MARKED = {"ve": "vẽ", "anh": "ảnh"}
_QUOTES = "\"'“”‘’«»"
_STOPS = ".!?…,; \t\r\n"
_NUMBER = "(?:" + "|".join([r"\d{1,3}", *sorted(NUMBERS, key=len, reverse=True)]) + ")"
_COUNT = rf"(?P<count>{_NUMBER})"

_LEAD = (
    r"(?:please |now |and |so |then |ok |okay |hey |hi |hello |parley |can you |could you |would you |will you |"
    r"i want you to |i would like you to |i'd like you to |let's |try to )*"
)
_TAIL = r"(?: please| for me| for us| thanks| thank you)*"
_TIMES = rf"(?: (?P<times>{_NUMBER}) (?:times|versions|variations|variants))?"
_PICTURE = r"(?:picture|image|drawing|painting|illustration|photo|photograph|sketch|artwork|pic)s?"
_KIND = r"(?:(?:nice|new|small|little|big|large|beautiful|pretty|colou?rful|simple|cute|random|different) )*"
_OF = r"(?:of|showing|that shows?|with|depicting|where)"
_WHAT = r"(?P<what>.+?)"

_LEAD_VI = (
    r"(?:hay |xin hay |xin |vui long |lam on |nho ban |ban oi |ban co the |co the |ban hay |toi muon ban |giup toi |"
    r"bay gio |gio |roi |va |parley )*"
)
_TAIL_VI = r"(?: (?:nhe|nha|giup toi|giup minh|cho toi|cho minh|duoc khong))*"
_TIMES_VI = rf"(?: (?P<times>{_NUMBER}) (?:lan|phien ban|kieu khac nhau))?"
_FOR_VI = r"(?:(?: giup| ho| cho| dum)+(?: toi| minh| tui| em| anh| chi| chung toi)?)?"
_PICTURE_VI = (
    r"(?:(?:buc |tam |cai )?(?:tranh(?: ve)?|(?P<anh>anh)(?: minh hoa)?|hinh anh)|(?:buc|tam) (?:hinh|ve)|hinh ve)"
)
_PIECE_VI = r"(?:buc|tam|cai|buc tranh|buc anh|tam anh|anh|hinh|ban)"
_OF_VI = r"(?:(?:ve|cua|co|voi|mo ta|the hien) )?"

# Words between “draw” and what is no picture: conclusions, lists and the like.
_NO_PICTURE = r"(?!(?:up|on|from|near|conclusions?|attention|an? (?:comparison|distinction|conclusion|parallel))\b)"
_CHART = r"(?:(?:an?|the|some) )?(?:(?:bar|line|pie|area|scatter|column|stacked) )*(?:chart|graph|plot|histogram)s?"
_CHART_VI = r"(?:mot )?(?:bieu do|do thi)(?: (?:hinh )?(?:cot|duong|tron|thanh|banh|mien))?"
# What nobody paints: measures, and things counted by others.
_DATA = re.compile(
    r"\b(?:revenues?|sales|turnover|profits?|salar(?:y|ies)|doanh thu|doanh so|loi nhuan|so luong|tong so|xu huong)\b|"
    r"\bthe (?:number|count|total|sum|average|distribution|trend) of\b|"
    r"\b(?:by|per|for each|over) (?:time|date|week|month|quarter|year|category|city|country|region|status|product|"
    r"customer|department)\b|"
    r"\btheo (?:tung |moi )?(?:thoi gian|ngay|tuan|thang|quy|nam|thanh pho|tinh|khu vuc|danh muc|loai|nhom|trang thai|"
    r"san pham|khach hang|phong ban)\b|"
    r"^(?:(?:an? |the )?(?:table|list) of|(?:mot )?(?:danh sach|bang ke|bang thong ke|bang so lieu))\b"
)


def _rule(kind: Kind, language: Language, pattern: str) -> Rule:
    lead, tail = (_LEAD, _TAIL) if language is EN else (_LEAD_VI, _TAIL_VI)
    return Rule(kind, language, re.compile(f"{lead}(?:{pattern}){tail}"))


RULES: tuple[Rule, ...] = (
    _rule(
        Kind.CHART,
        EN,
        rf"(?:draw|paint|plot|make|create|generate|render|show|give)(?: me| us)? {_CHART}"
        r"(?: (?:of|for|showing|that shows|with|about))?(?: (?P<what>.+?))?",
    ),
    _rule(Kind.CHART, EN, r"(?:plot|chart|graph|visuali[sz]e)(?: me| us)? (?P<what>.+?)"),
    _rule(
        Kind.CHART,
        VI,
        rf"(?:ve|tao|lam|dung|hien thi|cho toi xem|xem){_FOR_VI} {_CHART_VI}"
        r"(?: (?:ve|cua|cho|the hien|bieu dien|mo ta))?(?: (?P<what>.+?))?",
    ),
    _rule(
        Kind.AGAIN,
        EN,
        rf"(?:(?:draw|paint|make|give|show|do)(?: me| us)? )?(?:an(?:other)(?: (?:one|version|{_PICTURE}))?|one more"
        rf"(?: {_PICTURE})?|(?:it|that|the same(?: one)?) (?:once )?(?:again|once more)|again|once more|"
        rf"a (?:different|new) one|{_COUNT} (?:more|others)(?: of (?:them|those|these|that))?(?: {_PICTURE})?)",
    ),
    _rule(
        Kind.AGAIN,
        VI,
        rf"(?:(?:ve|tao|lam)(?: lai)?{_FOR_VI} )?(?:them )?(?:{_COUNT} )?{_PIECE_VI}(?: khac| nua)+|"
        rf"(?:ve|tao|lam){_FOR_VI} (?:lai|nua|them)(?: (?:lan nua|mot lan nua|cai do|no|hinh do|di))*|"
        r"(?:mot )?lan nua|lai di|nua di",
    ),
    _rule(
        Kind.AGAIN,
        VI,
        rf"(?:ve|tao|lam){_FOR_VI} them {_COUNT}(?: {_PIECE_VI})?(?: nua)?",
    ),
    _rule(
        Kind.COLOUR,
        EN,
        r"(?:make|paint|colou?r|turn|draw|do|change|have) (?:it|that|this|(?:the|its) (?P<thing>\w+(?: \w+)?)) "
        rf"(?:to |into |in )?(?P<colour>{colours.ANY})(?: instead)?|"
        rf"(?:but |the same (?:one )?)*(?:in )?(?P<only>{colours.ANY})(?: instead)?",
    ),
    _rule(
        Kind.COLOUR,
        VI,
        r"(?:doi|to|chuyen|lam|cho|ve)(?: lai)?"
        r"(?: (?:no|cai do|hinh do)| (?P<thing>(?!(?:sang|thanh|bang|mau)\b)\w+(?: \w+){0,2}?))?"
        rf"(?: (?:sang|thanh|bang))*(?: mau)? (?P<colour>{colours.ANY})(?: (?:di|thoi))?|"
        rf"mau (?P<only>{colours.ANY})(?: (?:di|thoi))?",
    ),
    _rule(
        Kind.NOTHING,
        EN,
        r"(?:draw|paint|sketch)(?: me| us)?(?: (?:that|this|something|anything|things))?(?: again)?|"
        r"(?:draw|paint|sketch)(?: me| us)? (?:it|them)(?: .*)?|"
        rf"(?:draw|paint|sketch|make|create|generate)(?: me| us)?(?: (?:an?|some))? {_PICTURE}",
    ),
    _rule(
        Kind.NOTHING,
        VI,
        rf"(?P<ve>ve){_FOR_VI}(?: mot)?(?: (?:gi do|cai gi do|hinh|lai|nua|them|{_PICTURE_VI}))?(?: di)?|"
        rf"(?:ban )?(?:co )?(?:biet |the )?ve (?:duoc )?(?:hinh |tranh )?(?:duoc )?khong",
    ),
    _rule(Kind.PICTURE, EN, rf"(?:draw|paint|sketch|illustrate)(?: me| us)? {_COUNT} {_KIND}{_PICTURE} {_OF} {_WHAT}"),
    _rule(Kind.PICTURE, EN, rf"(?:draw|paint|sketch|illustrate)(?: me| us)? {_NO_PICTURE}{_WHAT}{_TIMES}"),
    _rule(
        Kind.PICTURE,
        EN,
        rf"(?:make|create|generate|render|produce|design)(?: me| us)? (?:{_COUNT} )?{_KIND}{_PICTURE} {_OF} "
        rf"{_WHAT}{_TIMES}",
    ),
    _rule(
        Kind.PICTURE,
        EN,
        rf"(?:give me|show me|i want|i need|i would like|i'd like) {_COUNT} {_KIND}{_PICTURE} {_OF} {_WHAT}{_TIMES}",
    ),
    _rule(Kind.PICTURE, EN, rf"(?:an? )?(?:picture|image|drawing|painting|illustration|sketch) of {_WHAT}"),
    _rule(Kind.PICTURE, VI, rf"(?P<ve>ve){_FOR_VI}(?: {_COUNT})? {_PICTURE_VI} {_OF_VI}{_WHAT}{_TIMES_VI}"),
    _rule(Kind.PICTURE, VI, rf"(?P<ve>ve){_FOR_VI} {_WHAT}{_TIMES_VI}"),
    _rule(
        Kind.PICTURE,
        VI,
        rf"(?:(?:tao|lam|sinh|thiet ke|dung){_FOR_VI}(?: ra)?|toi (?:muon|can)(?: co)?)(?: {_COUNT})? {_PICTURE_VI} "
        rf"{_OF_VI}{_WHAT}{_TIMES_VI}",
    ),
)


def wish(text: str, earlier: Earlier | None = None) -> Wish | None:
    """What a text asks to have drawn; None where it asks for no picture and no chart.

    Args:
        text: What the person says.
        earlier: What was drawn just before: another one may be wanted, or another colour. None: nothing was.
    """
    read = _Text(text)
    for rule in RULES:
        if earlier is None and rule.kind in (Kind.AGAIN, Kind.COLOUR):
            continue
        found = rule.pattern.fullmatch(read.folded)
        if found is not None and read.means(found) and not _about_data(rule, found, read):
            return _wished(rule, found, read, earlier)
    return None


def _about_data(rule: Rule, found: re.Match[str], read: _Text) -> bool:
    """Whether “ve” without its mark rather begins a question about (“về”) data."""
    unsure = rule.kind is Kind.PICTURE and rule.language is VI and read.plain
    return unsure and sounds_like_data(found["what"]) and not _DATA.search(found["what"])


def _wished(rule: Rule, found: re.Match[str], read: _Text, earlier: Earlier | None) -> Wish:
    groups = found.groupdict()
    asked = Wish(rule.kind, rule.language, read.original(found, "what"), _count(groups))
    if rule.kind is Kind.PICTURE and _DATA.search(groups["what"]):
        return replace(asked, kind=Kind.CHART)
    if rule.kind is Kind.AGAIN:
        assert earlier is not None  # else the rule is passed over
        return replace(asked, kind=Kind.PICTURE, what=earlier.prompt)
    if rule.kind is Kind.COLOUR:
        assert earlier is not None  # else the rule is passed over
        colour = groups["colour"] or groups["only"]
        prompt = colours.recoloured(earlier.prompt, colour, read.original(found, "thing"))
        if not prompt:
            return replace(asked, kind=Kind.UNCLEAR)
        return replace(asked, kind=Kind.PICTURE, what=prompt, seed=earlier.seed)
    return asked


def _count(groups: dict[str, str | None]) -> int:
    """How many pictures: 1 where it is not said."""
    said = groups.get("count") or groups.get("times") or "1"
    return int(said) if said.isdigit() else NUMBERS[said]


class _Text:
    """A text, folded, and where in it each of the folded words stands.

    Args:
        text: As it was written.
    """

    _WORD = re.compile("[\\w'’\u0300-\u036f]+")

    def __init__(self, text: str) -> None:
        self._text = unicodedata.normalize("NFC", text)
        self._words: list[tuple[int, int]] = []
        self._starts: list[int] = []
        folded: list[str] = []
        position = 0
        for word in self._WORD.finditer(self._text):
            for part in fold(word[0]).split():
                self._words.append(word.span())
                self._starts.append(position)
                folded.append(part)
                position += len(part) + 1
        self.folded = " ".join(folded)
        self.plain = self._text.isascii()
        """Whether it has no marks at all: then a word may be any that looks the same without them."""

    def means(self, found: re.Match[str]) -> bool:
        """Whether “vẽ” (draw) is not “về” (about), and “ảnh” (picture) not “anh” (he)."""
        groups = found.groupdict()
        said = ((self._word(found.start(name)), marked) for name, marked in MARKED.items() if groups.get(name))
        return self.plain or all(word == marked for word, marked in said)

    def _word(self, position: int) -> str:
        start, end = self._words[bisect_right(self._starts, position) - 1]
        return self._text[start:end].casefold()

    def original(self, found: re.Match[str], group: str) -> str:
        """A group as it was written, without the punctuation around it; empty where there is none."""
        if not found.groupdict().get(group):
            return ""
        first = bisect_right(self._starts, found.start(group)) - 1
        last = bisect_right(self._starts, found.end(group) - 1) - 1
        start, end = self._words[first][0], self._words[last][1]
        # Brackets belong to it: `<lora:style:0.8>`, `(very red:1.2)`.
        while start and not self._text[start - 1].isspace():
            start -= 1
        if last == len(self._words) - 1:
            end = len(self._text)
        return _bare(self._text[start:end])


def _bare(text: str) -> str:
    """A text without the punctuation at its end, and without the quotes that it stands in, or that only end it."""
    bare = text.strip().rstrip(_STOPS)
    while bare and bare[-1] in _QUOTES:
        if bare[0] in _QUOTES:
            bare = bare[1:-1]
        elif any(quote in bare[:-1] for quote in _QUOTES):
            break
        else:
            bare = bare[:-1]
        bare = bare.rstrip(_STOPS)
    return bare.strip()
