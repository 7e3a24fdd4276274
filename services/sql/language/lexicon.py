"""The words that steer a query: aggregates, comparisons, superlatives, order, grouping, negation."""

from __future__ import annotations

from dataclasses import dataclass

from services.sql.language.words import listed


@dataclass(frozen=True)
class Sign:
    """What a phrase does to the query."""

    kind: str
    """aggregate, compare, super, popular, selling, order, direction, group, not, distinct, both, or, and, like, period,
    where."""
    value: str = ""
    hints: tuple[str, ...] = ()
    """Words of columns that it is about."""


def _signs(kind: str, entries: dict[str, str]) -> dict[tuple[str, ...], Sign]:
    return {tuple(phrase.split()): Sign(kind, value) for value, text in entries.items() for phrase in text.split("|")}


_AGE, _PRICE, _DATE = ("age",), ("price", "cost", "amount"), ("date", "time", "year", "day", "on")
_HINTED: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # stem: (sign of "more", columns, rows of dates run the other way when there is no such column)
    "old": (">", _AGE, ("birth", "born", *_DATE)), "young": ("<", _AGE, ("birth", "born")),
    "expensive": (">", _PRICE, ()), "cheap": ("<", _PRICE, ()), "costly": (">", _PRICE, ()),
    "tall": (">", ("height",), ()), "short": ("<", ("height", "length", "duration"), ()),
    "heavy": (">", ("weight",), ()), "light": ("<", ("weight",), ()),
    "long": (">", ("length", "duration", "distance"), ()), "fast": (">", ("speed",), ("time",)),
    "late": (">", _DATE, ()), "new": (">", _DATE, ()), "recent": (">", _DATE, ()), "early": ("<", _DATE, ()),
    "rich": (">", ("money", "salary", "income", "balance"), ()), "populous": (">", ("population",), ()),
}  # fmt: skip
_FORMS = {
    "old": ("older", "oldest"), "young": ("younger", "youngest"), "cheap": ("cheaper", "cheapest"),
    "tall": ("taller", "tallest"), "short": ("shorter", "shortest"), "heavy": ("heavier", "heaviest"),
    "light": ("lighter", "lightest"), "long": ("longer", "longest"), "fast": ("faster", "fastest"),
    "late": ("later", "latest"), "new": ("newer", "newest"), "early": ("earlier", "earliest"),
    "rich": ("richer", "richest"),
}  # fmt: skip


def _hinted() -> dict[tuple[str, ...], Sign]:
    found: dict[tuple[str, ...], Sign] = {}
    for word, (op, hints, reversed_hints) in _HINTED.items():
        all_hints = (*hints, *(f"-{hint}" for hint in reversed_hints))
        more, most = _FORMS.get(word, (f"more {word}", f"most {word}"))
        direction = "desc" if op == ">" else "asc"
        found[(*more.split(), "than")] = Sign("compare", op, all_hints)
        found[tuple(most.split())] = Sign("super", direction, all_hints)
        if word in ("expensive", "recent", "populous", "costly"):
            found[("least", word)] = Sign("super", "asc" if direction == "desc" else "desc", all_hints)
    return found


SIGNS: dict[tuple[str, ...], Sign] = {
    **_signs("aggregate", {
        "COUNT": "total count of|how many|number of|the number of|total number of|count|count of|count the number of",
        "AVG": "average|mean|avg|average of|on average",
        "SUM": "total|sum|sum of|how much|overall|combined|total of",
        "MAX": "maximum|max|maximum of", "MIN": "minimum|min|minimum of",
    }),
    **_signs("compare", {
        ">": "more than|greater than|larger than|bigger than|higher than|above|over|exceeds|exceed|exceeding|>|after"
             "|more expensive than|costs more than|later than|bigger|since more than",
        ">=": "at least|no less than|not less than|minimum of at least|greater than or equal to|since|from at least|>="
              "|starting from|or more",
        "<": "less than|fewer than|smaller than|lower than|below|under|before|<|earlier than|cheaper than",
        "<=": "at most|no more than|not more than|up to|less than or equal to|<=|or less|maximum of at most|until"
              "|no later than|not later than",
        "=": "exactly|equal to|equals|equal|=", "!=": "!=|not equal to|other than|different from",
        "between": "between|in the range of|ranging from",
    }),
    **_signs("super", {
        "desc": "highest|largest|biggest|greatest|most|best|top|largest number of|highest number of"
                "|greatest number of|most number of|farthest|strongest|last",
        "asc": "lowest|smallest|fewest|least|worst|bottom|fewest number of|least number of|smallest number of"
               "|lowest number of|first",
    }),
    **_signs("popular", {
        "desc": "most common|most popular|most frequent|most frequently|most often|most used|"
                "most commonly",
        "asc": "least common|least popular|least frequent|rarest",
    }),
    **_signs("selling", {"desc": "best selling|best-selling|sells best|sell best|sold best|sells the best|most sold"}),
    **_signs("order", {"": "sorted by|sort by|order by|ordered by|sort|sorted|ranked by|in order of|arranged by"
        "|order of"}),
    **_signs("alphabet", {"asc": "alphabetically|in alphabetical order|alphabetical order|in lexicographical "
        "order|lexicographic order|in alphabetic order"}),
    **_signs("direction", {
        "desc": "descending|desc|decreasing|in descending order|in decreasing order|from highest to lowest"
                "|from high to low|descending order|from the highest to the lowest|from old to young"
                "|from largest to smallest|in descending order of|in decreasing order of|from z to a"
                "|in reverse alphabetical order|reverse alphabetical order|in reversed lexicographic order"
                "|in reverse lexicographic order|in reverse order|from big to small|from most to least"
                "|from greatest to least|from greatest to smallest",
        "asc": "ascending|asc|increasing|in ascending order|in increasing order|from lowest to highest|from low to high"
               "|ascending order|from young to old|in ascending order of|in increasing order of|from small to big"
               "|from least to most|from least to greatest|from smallest to largest",
    }),
    **_signs("group", {"": "each|per|for each|of each|every|for every|by each|in each|grouped by|group by"
        "|for different"}),
    **_signs("everything", {
        "": "all information|all the information|all details|all the details|everything|all info|all columns|all fields"
            "|complete information|full details|all attributes|all available information|the information of all"
            "|information of all|all the information about|all information about",
    }),
    **_signs("by", {"": "by"}),
    **_signs("not", {"": "not|no|without|never|except|excluding|excludes|don't|doesn't|didn't|isn't|aren't|did "
        "not have|have not|do not have|do not have any|without any|have no|"
                         "have never|not have any|not any|cannot|neither|nor"}),
    **_signs("distinct", {"": "distinct|different|unique"}),
    **_signs("both", {"": "both|as well as"}),
    **_signs("or", {"": "or|either"}),
    **_signs("and", {"": "and|,|;"}),
    **_signs("like", {
        "contains": "substring|has substring|have the substring|the substring|with the letter|the letter"
            "|contain|contains|containing|include|includes|including the word|contain the word|with the word"
            "|contains the word|has the substring|containing the word|"
                    "including|contain the substring|contains the substring|include the word|have the word|has "
                    "the word",
        "starts": "start with|starts with|starting with|begin with|begins with|beginning with|start with the "
            "letter|starts with the letter|starting with the letter",
        "ends": "end with|ends with|ending with|ends in",
    }),
    **_signs("period", {"month": "per month|each month|by month|for each month|monthly|every month",
                        "year": "per year|each year|by year|for each year|yearly|every year|annually"}),
    **_signs("where", {"": "whose|where|who|that|which|with|having|when|has|have"}),
    **_signs("mean", {"": "the average|average|the mean|than average|the average of all"}),
    **_hinted(),
    **{tuple(words.split()): Sign("aggregate", value) for words, value in (
        ("average", "AVG"), ("the average", "AVG"), ("mean", "AVG"),
    )},
}  # fmt: skip


def listed_phrases(text: str) -> list[str]:
    """The phrases between bars."""
    return text.split("|")


_RANKS = listed("second third fourth fifth sixth seventh eighth ninth tenth")
UNSUPPORTED: frozenset[tuple[str, ...]] = frozenset(
    tuple(phrase.split())
    for phrase in listed_phrases(
        "percentage|percent|%|proportion|ratio|share of|compare|compared|comparison|versus|vs|quarter|quarterly|units"
        "|out of stock|running total|growth|median|which month|what month|month which|which year|what year|year which"
        "|which day|what day|which week|what week|which quarter|what quarter|how many units|number of units"
        "|worst selling|worst-selling|sells worst|sell worst|least sold"
    )
) | {(rank,) for rank in _RANKS}
"""What people ask for that no rule answers. Left unread, it would turn into an answer to another question."""
LONGEST_UNSUPPORTED = max(len(phrase) for phrase in UNSUPPORTED)
LONGEST_SIGN = max(len(phrase) for phrase in SIGNS)

STOP = frozenset(
    listed(
        "a an the of in on at to for from by with and or is are was were be been being do does did has have had "
        "having it its "
        "their his her they them there this that these those what which who whose whom where when how many much "
        "show list "
        "find give get return display tell me us i we you please all any some each every per than then as not "
        "no also can "
        "could would will shall about into out up down over under between among most least more less fewer only "
        "just same "
        "other s we our my but if so such both either neither nor too very own named called name's , ; : < > = "
        ">= <= != "
        "count number total average mean maximum minimum max min sum highest lowest largest smallest greatest "
        "biggest top "
        "first last different distinct unique sorted ordered sort order descending ascending alphabetically see "
        "want know "
        "like need let exist exists current currently available together along corresponding respective respectively"
    )
) - {"order", "name", "number", "count", "last", "first", "total"}
"""Words that alone never stand for a table, a column or a value."""

QUIET = STOP | frozenset(
    listed(
        "find list show give return select display report compute calculate tell retrieve fetch state provide "
        "people record "
        "records database table ones one information info detail details data values value made make took take "
        "come came go "
        "belong belongs belonging located live lives living use used using contain contains include includes "
        "work works "
        "working written write wrote placed place sold sell bought buy ordered order made exist kind kinds type "
        "types entry "
        "entries different various following given associated related with corresponding number name names id ids "
        "time times "
        "year month day date having was been got get getting wat whats were did's also ever well plus every single "
        "again now "
        "today right yes ok okay hi hello thanks thank question answer total amount count full complete still already "
        "have had owns own owned owning done did happened happen won win say says said called letter word "
        "substring string company store shop library business firm total position there"
    )
)
"""Words that may stay without a link and cost no confidence."""
