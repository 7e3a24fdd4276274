"""How the embedded model decides what a person wants: one table of patterns, read from top to bottom.

Patterns are matched against the folded text (services/chat/language.py: lower case, no marks, no punctuation), so that
each serves Vietnamese typed with and without its marks. What no pattern matches is taken for a question about data: the
sql service's engine knows the words of the database and says which it does not understand.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from services.chat.language import fold


class Intent(StrEnum):
    """What a person wants."""

    GREETING = "greeting"
    THANKS = "thanks"
    IDENTITY = "identity"
    ABILITIES = "abilities"
    LIST_DATABASES = "list_databases"
    TRANSCRIBE = "transcribe"
    INVENT = "invent"
    NOTHING = "nothing"
    QUESTION = "question"


class Rule(NamedTuple):
    """A pattern that the whole folded text has to match, and what it means."""

    intent: Intent
    pattern: re.Pattern[str]


def _rule(intent: Intent, pattern: str) -> Rule:
    return Rule(intent, re.compile(pattern))


_PLEASE = r"(?:please |can you |could you |would you |hay |xin hay |xin |vui long |lam on )*"

RULES: tuple[Rule, ...] = (
    _rule(Intent.NOTHING, r""),
    _rule(
        Intent.GREETING,
        r"(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening)|greetings|xin chao|chao|alo)"
        r"(?: (?:there|parley|again|all|everyone|ban|anh|chi|em|moi nguoi))?",
    ),
    _rule(
        Intent.THANKS,
        r"(?:thanks|thank you|thx|cheers|cam on|xin cam on)(?: (?:a lot|very much|you|so much|ban|nhieu|ban nhieu))*",
    ),
    _rule(
        Intent.IDENTITY,
        r"(?:.*\b)?(?:are you|is this|am i (?:talking|speaking) (?:to|with)|ban co phai(?: la)?|ban la) (?:really )?"
        r"(?:an? |mot )?(?:real )?(?:llm|large language model|language model|ai|a i|bot|chatbot|robot|human|"
        r"person|gpt|chatgpt|"
        r"machine|mo hinh ngon ngu(?: lon)?|tri tue nhan tao|nguoi|may)(?: (?:khong|model|that|a))?",
    ),
    _rule(
        Intent.IDENTITY,
        r"(?:who|what|which model) are you|what(?: is|'s) your name|who made you|ban la (?:ai|gi)|"
        r"ban ten(?: la)? gi|ai tao ra ban",
    ),
    _rule(
        Intent.IDENTITY,
        r"(?:what|which) (?:language )?(?:model|llm|ai) (?:are you|is this|do you use)|ban dung mo hinh (?:nao|gi)",
    ),
    _rule(
        Intent.ABILITIES,
        r"help|help me|(?:so )?what (?:else )?can (?:you|i) (?:do|ask|ask you)(?: .*)?|what do you do|"
        r"how (?:do|can) (?:i use you|you help)(?: me)?|"
        r"giup|giup toi|(?:ban )?(?:co the )?(?:lam|giup)(?: duoc)?(?: toi)?(?: duoc)?(?: nhung)? gi(?: .*)?|"
        r"toi (?:co the )?hoi (?:duoc )?(?:ban )?(?:nhung )?gi|huong dan",
    ),
    _rule(
        Intent.LIST_DATABASES,
        _PLEASE + r"(?:(?:what|which|list|show|show me)(?: all)?(?: the| my)? databases(?: (?:are there|"
        r"do you (?:have|know)|exist|can i ask|are registered))?|"
        r"(?:co |liet ke )(?:nhung |cac )?co so du lieu(?: nao)?)",
    ),
    _rule(
        Intent.TRANSCRIBE,
        _PLEASE + r"(?:transcribe|transcript|write down|what (?:did|does|do) (?:i|he|she|they|it|this|"
        r"the (?:speaker|recording|audio)) say|"
        r"what (?:is|was) (?:said|being said)|ghi lai|chep lai|chuyen thanh van ban|phien am)(?:\b.*)?",
    ),
    _rule(
        Intent.INVENT,
        _PLEASE + r"(?:write|compose|draft|translate|sing|imagine|invent|summari[sz]e|rewrite|paraphrase|"
        r"tell (?:me )?an? (?:joke|story|tale)|"
        r"viet (?:mot|cho|bai|tho|thu|email)|lam tho|dich|ke chuyen|ke (?:cho|mot)|tom tat)\b.*",
    ),
)

# Words that people begin questions about data with, or count and compare by.
_DATA_CUES = re.compile(
    r"\b(how many|how much|which|list|show|count|number of|average|mean|total|sum|top|most|least|highest|"
    r"lowest|largest|"
    r"smallest|cheapest|more than|less than|at least|per|each|database|table|customers?|orders?|products?|"
    r"bao nhieu|liet ke|nhung|nao|tong|trung binh|cao nhat|thap nhat|nhieu nhat|it nhat|lon nhat|nho nhat|moi|"
    r"co so du lieu|bang|khach hang|don hang|san pham)\b"
)


def classify(text: str) -> Intent:
    """What a person wants who says this."""
    folded = fold(text)
    for rule in RULES:
        if rule.pattern.fullmatch(folded):
            return rule.intent
    return Intent.QUESTION


def sounds_like_data(text: str) -> bool:
    """Whether a text has the ring of a question about data, for the choice of words when there is no database."""
    return _DATA_CUES.search(fold(text)) is not None
