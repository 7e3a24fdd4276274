"""Letter-to-sound rules for words that no dictionary has: names, brands, abbreviations.

English: ordered context rules, the longest match first, in the manner of H. S. Elovitz, R. Johnson, A. McHugh and
J. E. Shore, "Letter-to-sound rules for automatic translation of English text to phonetics", IEEE Trans. ASSP 24 (1976);
a much smaller set. Vietnamese: its spelling is regular, so a syllable is cut into onset, rime and coda (L. C. Thompson,
"A Vietnamese Reference Grammar", 1987, ch. 1) and each part gets the nearest English sound, which is what an English
acoustic model can hear. Phones are those of CMUdict (ARPAbet without stress).
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple


class Rule(NamedTuple):
    """Letters that sound as `phones` between two contexts, each a regular expression; empty for any."""

    letters: str
    phones: str
    before: str = ""
    after: str = ""


VOWEL = "[aeiouy]"
CONSONANTS = {letter: letter.upper() for letter in "bdfjklmnprstvwz"} | {"h": "HH", "j": "JH", "q": "K"}
NAMES = (
    "EY,B IY,S IY,D IY,IY,EH F,JH IY,EY CH,AY,JH EY,K EY,EH L,EH M,EH N,OW,P IY,K Y UW,AA R,EH S,T IY,Y UW,V IY,"
    "D AH B AH L Y UW,EH K S,W AY,Z IY"
)
SPELLED = dict(zip("abcdefghijklmnopqrstuvwxyz", NAMES.split(","), strict=True))
# Tried in this order; the first that fits is taken.
ENGLISH = [
    Rule("tion", "SH AH N"),
    Rule("sion", "ZH AH N", VOWEL),
    Rule("sion", "SH AH N"),
    Rule("ture", "CH ER", "", "$"),
    Rule("ight", "AY T"),
    Rule("ough", "AO"),
    Rule("eigh", "EY"),
    Rule("augh", "AO"),
    Rule("tch", "CH"),
    Rule("sch", "SH"),
    Rule("dge", "JH"),
    Rule("igh", "AY"),
    Rule("eau", "OW"),
    Rule("eer", "IH R"),
    Rule("ear", "IH R"),
    Rule("air", "EH R"),
    Rule("oor", "AO R"),
    Rule("our", "AO R"),
    Rule("qu", "K W"),
    Rule("ch", "CH"),
    Rule("ck", "K"),
    Rule("gh", "G", "^"),
    Rule("gh", ""),
    Rule("gn", "N", "^"),
    Rule("kn", "N", "^"),
    Rule("ng", "NG", "", "($|[^aeiouy])"),
    Rule("ph", "F"),
    Rule("ps", "S", "^"),
    Rule("sc", "S", "", "[eiy]"),
    Rule("sh", "SH"),
    Rule("ss", "S"),
    Rule("th", "TH"),
    Rule("wh", "W"),
    Rule("wr", "R", "^"),
    Rule("ar", "AA R", "", "($|[^aeiouy])"),
    Rule("er", "ER", "", "($|[^aeiouy])"),
    Rule("ir", "ER", "", "($|[^aeiouy])"),
    Rule("or", "AO R", "", "($|[^aeiouy])"),
    Rule("ur", "ER", "", "($|[^aeiouy])"),
    Rule("ai", "EY"),
    Rule("au", "AO"),
    Rule("aw", "AO"),
    Rule("ay", "EY"),
    Rule("ea", "IY"),
    Rule("ee", "IY"),
    Rule("ei", "EY"),
    Rule("eu", "Y UW"),
    Rule("ew", "UW"),
    Rule("ey", "IY", "", "$"),
    Rule("ey", "EY"),
    Rule("ia", "IY AH"),
    Rule("ie", "IY"),
    Rule("io", "IY OW"),
    Rule("oa", "OW"),
    Rule("oi", "OY"),
    Rule("oo", "UW"),
    Rule("ou", "AW"),
    Rule("ow", "OW", "", "$"),
    Rule("ow", "AW"),
    Rule("oy", "OY"),
    Rule("ue", "UW"),
    Rule("ui", "UW IY"),
    Rule("es", "IH Z", "[sxz]", "$"),
    Rule("es", "Z", "", "$"),
    Rule("ed", "IH D", "[td]", "$"),
    Rule("ed", "D", "[^aeiouy]", "$"),
    Rule("le", "AH L", "[^aeiouy]", "$"),
    Rule("e", "", f"{VOWEL}.*[^aeiouy]", "$"),
    Rule("a", "AH", "..", "$"),
    Rule("a", "EY", "", "[^aeiouywx]e$"),
    Rule("i", "AY", "", "[^aeiouywx]e$"),
    Rule("o", "OW", "", "[^aeiouywx]e$"),
    Rule("u", "UW", "", "[^aeiouywx]e$"),
    Rule("o", "OW", "", "$"),
    Rule("i", "IY", "", "$"),
    Rule("y", "AY", "^[^aeiouy]+", "$"),
    Rule("y", "IY", "", "$"),
    Rule("y", "Y", "^"),
    Rule("y", "IH"),
    Rule("a", "AE"),
    Rule("e", "EH"),
    Rule("i", "IH"),
    Rule("o", "AA"),
    Rule("u", "AH"),
    Rule("c", "S", "", "[eiy]"),
    Rule("c", "K"),
    Rule("g", "JH", "", "[eiy]"),
    Rule("g", "G"),
    Rule("x", "Z", "^"),
    Rule("x", "K S"),
    Rule("s", "Z", VOWEL, "$"),
    Rule("h", "", VOWEL, "$"),
    *(Rule(letter, phone) for letter, phone in CONSONANTS.items()),
]
ONSETS = {
    "ngh": "N",
    "ng": "N",
    "nh": "N Y",
    "ch": "CH",
    "tr": "CH",
    "th": "T",
    "ph": "F",
    "kh": "K",
    "gh": "G",
    "gi": "Z",
    "qu": "K W",
    "b": "B",
    "c": "K",
    "d": "Z",
    "đ": "D",
    "g": "G",
    "h": "HH",
    "k": "K",
    "l": "L",
    "m": "M",
    "n": "N",
    "p": "P",
    "r": "Z",
    "s": "S",
    "t": "T",
    "v": "V",
    "x": "S",
    "": "",
}
RIMES = {
    "uyê": "W IY",
    "yê": "IY",
    "iê": "IY",
    "ươ": "UH",
    "uô": "UW",
    "oai": "W AY",
    "oay": "W AY",
    "uây": "W EY",
    "ươi": "UH IY",
    "ươu": "UH",
    "iêu": "IY UW",
    "yêu": "IY UW",
    "uôi": "UW IY",
    "ai": "AY",
    "ay": "AY",
    "ây": "EY",
    "ao": "AW",
    "au": "AW",
    "âu": "OW",
    "eo": "EH OW",
    "êu": "EY UW",
    "iu": "IY UW",
    "oi": "OY",
    "ôi": "OY",
    "ơi": "ER IY",
    "ưi": "UH IY",
    "ui": "UW IY",
    "ưu": "UW",
    "oa": "W AA",
    "oă": "W AE",
    "oe": "W EH",
    "uê": "W EY",
    "uy": "W IY",
    "ia": "IY AH",
    "ya": "IY AH",
    "ua": "UW AH",
    "ưa": "UH AH",
    "uâ": "W AH",
    "uơ": "W ER",
    "a": "AA",
    "ă": "AE",
    "â": "AH",
    "e": "EH",
    "ê": "EY",
    "i": "IY",
    "y": "IY",
    "o": "AO",
    "ô": "OW",
    "ơ": "ER",
    "u": "UW",
    "ư": "UH",
}
CODAS = {"ch": "K", "nh": "NG", "ng": "NG", "c": "K", "m": "M", "n": "N", "p": "P", "t": "T", "": ""}
TONES = {"̀", "́", "̃", "̉", "̣"}
SYLLABLE = re.compile(f"({'|'.join(ONSETS)})({'|'.join(sorted(RIMES, key=len, reverse=True))})({'|'.join(CODAS)})")


def fold(word: str) -> str:
    """Lower case without diacritics: `Nguyễn` is `nguyen`."""
    plain = unicodedata.normalize("NFD", word.lower().replace("đ", "d"))
    return "".join(char for char in plain if not unicodedata.combining(char))


def pronunciations(word: str) -> list[str]:
    """How a word may sound by rule, the likelier first: phones separated by spaces. Empty when it has no letters."""
    found = []
    foreign = fold(word) != word.lower()
    if foreign:
        found.append(vietnamese(word))
    letters = re.sub("[^a-z]", "", fold(word))
    if letters and not re.search(VOWEL, letters):
        return [" ".join(SPELLED[letter] for letter in letters)]
    found.append(english(letters))
    if not foreign:  # Vietnamese names are often written plainly: Hai Phong
        found.append(vietnamese(letters))
    return list(dict.fromkeys(filter(None, found)))


def english(letters: str) -> str:
    """The phones of a word of letters a-z by the English rules."""
    phones: list[str] = []
    position = 0
    while position < len(letters):
        rule = next(rule for rule in ENGLISH if _fits(rule, letters, position))
        sounds = rule.phones.split()
        # A doubled consonant is one sound.
        phones += sounds[1:] if phones and sounds and phones[-1] == sounds[0] else sounds
        position += len(rule.letters)
    return " ".join(phones)


def _fits(rule: Rule, letters: str, position: int) -> bool:
    end = position + len(rule.letters)
    return (
        letters.startswith(rule.letters, position)
        and (not rule.before or re.search(f"(?:{rule.before})$", letters[:position]) is not None)
        and (not rule.after or re.match(rule.after, letters[end:]) is not None)
    )


def vietnamese(word: str) -> str:
    """The phones of a Vietnamese syllable; empty when the word is not one."""
    bare = "".join(char for char in unicodedata.normalize("NFD", word.lower()) if char not in TONES)
    match = SYLLABLE.fullmatch(unicodedata.normalize("NFC", bare))
    if match is None:
        return ""
    onset, rime, coda = match.groups()
    return " ".join(filter(None, [ONSETS[onset], RIMES[rime], CODAS[coda]]))
