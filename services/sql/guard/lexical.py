"""What the guard checks on text: characters and comments that mislead, size, and names that are called.

A parser and a database may read the same characters differently. Here stands what no honest statement needs: such
comments and characters outside of quotes are refused, and what is called is read from the very text that will run.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import SqlglotError

from services.sql.errors import Rule, SqlRejected
from services.sql.guard.functions import PLAIN, SAMPLES, allowed
from services.sql.schema import Dialect

MAX_TOKENS = 20_000
MAX_DEPTH = 60

# Control characters that text may hold.
_SPACES = frozenset(" \t\n\r")
# Categories of characters that nobody sees or that have no meaning of their own.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp")
# Scripts whose letters look like Latin ones.
_CONFUSABLE = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")
_QUOTED = {TokenType.IDENTIFIER}
TEXTS = {
    *(TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.RAW_STRING, TokenType.HEREDOC_STRING),
    *(TokenType.UNICODE_STRING, TokenType.BYTE_STRING, TokenType.HEX_STRING, TokenType.BIT_STRING),
}
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)|--[^\n]*|#[^\n]*", re.DOTALL)


def tokens_of(sql: str, dialect: Dialect) -> list[sqlglot.Token]:
    """The tokens of a statement that someone wrote.

    Raises:
        SqlRejected: It holds misleading characters or comments, is too large, or is no text of the dialect.
    """
    if "\x00" in sql:
        raise SqlRejected("it holds a NUL character.", Rule.CHARACTER)
    if any(0xD800 <= ord(char) <= 0xDFFF for char in sql):
        raise SqlRejected("it holds half a character (a lone surrogate).", Rule.CHARACTER)
    if re.search(r"/\*(?:(?!\*/).)*/\*", re.sub(r"'[^']*'", "''", sql), re.DOTALL):
        raise SqlRejected("it holds nested comments, which databases read differently.", Rule.COMMENT)
    tokens = tokenized(sql, dialect)
    end = 0
    for token in tokens:
        _check_gap(sql[end : token.start], dialect)
        end = token.end + 1
    _check_gap(sql[end:], dialect)
    check_characters(sql, tokens)
    return tokens


def check_characters(sql: str, tokens: list[sqlglot.Token]) -> None:
    """Checks the characters of words and operators; texts may hold any. Raises SqlRejected."""
    for token in tokens:
        if token.token_type not in TEXTS:
            _check_word(sql[token.start : token.end + 1], quoted=token.token_type in _QUOTED)


def tokenized(sql: str, dialect: Dialect) -> list[sqlglot.Token]:
    """The tokens of any text, within the bounds on size and depth. Raises SqlRejected."""
    try:
        tokens = sqlglot.tokenize(sql, dialect.grammar)
    except SqlglotError as error:
        raise SqlRejected(f"it is not valid {dialect.grammar}: {first_line(error)}") from None
    if len(tokens) > MAX_TOKENS:
        raise SqlRejected(f"it is longer than {MAX_TOKENS} tokens.", Rule.SIZE)
    depth = 0
    for token in tokens:
        if token.token_type in (TokenType.L_PAREN, TokenType.CASE, TokenType.L_BRACKET, TokenType.L_BRACE):
            depth += 1
        elif token.token_type in (TokenType.R_PAREN, TokenType.END, TokenType.R_BRACKET, TokenType.R_BRACE):
            depth -= 1
        if depth > MAX_DEPTH:
            raise SqlRejected(f"it is nested deeper than {MAX_DEPTH} levels.", Rule.SIZE)
    return tokens


def first_line(error: Exception) -> str:
    """The message without the excerpt and its terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()[0][:200]


def _check_gap(text: str, dialect: Dialect) -> None:
    """What stands between two tokens: blanks and comments."""
    for comment in _COMMENT.findall(text):
        _check_comment(comment, dialect)
    for char in _COMMENT.sub("", text):
        if char not in _SPACES and (unicodedata.category(char) in _UNSEEN or ord(char) > 127):
            raise SqlRejected(f"it holds {_named(char)} outside of quotes.", Rule.CHARACTER)


def _check_comment(comment: str, dialect: Dialect) -> None:
    if comment.startswith("/*"):
        if re.match(r"/\*(!|M!)", comment):
            raise SqlRejected("it holds a comment that MySQL runs (/*! … */).", Rule.COMMENT)
        if comment.startswith("/*+"):
            raise SqlRejected("it holds hints to the database (/*+ … */).", Rule.COMMENT)
    if dialect is Dialect.MYSQL and re.match(r"--\S", comment):
        raise SqlRejected("it holds a -- that MySQL does not take for a comment: write a blank after it.", Rule.COMMENT)


def _check_word(text: str, quoted: bool) -> None:
    """A word, number or operator; names in quotes may hold anything that people can see."""
    if text.isascii() and text.isprintable():
        return
    for char in text:
        joins = char in "\u200d\ufe0f" or unicodedata.category(char) == "Cn"  # in emoji, which Unicode adds each year
        unseen = unicodedata.category(char) in _UNSEEN and char not in _SPACES
        if unseen and not (quoted and joins):
            raise SqlRejected(f"it holds {_named(char)} outside of text.", Rule.CHARACTER)
    if quoted:
        return
    if unicodedata.normalize("NFKC", text) != unicodedata.normalize("NFC", text):
        raise SqlRejected(f"{text} is written with characters that stand for others.", Rule.CHARACTER)
    names = [unicodedata.name(char, "") for char in text if char.isalpha()]
    if any(name.startswith("LATIN") for name in names) and any(name.startswith(_CONFUSABLE) for name in names):
        raise SqlRejected(f"{text} mixes letters of two scripts that look alike.", Rule.CHARACTER)


def _named(char: str) -> str:
    return f"the character U+{ord(char):04X} ({unicodedata.name(char, 'without a name').lower()})"


def check_calls(tokens: list[sqlglot.Token], tree: exp.Expr, dialect: Dialect) -> None:
    """Checks whatever a text calls: every name before a parenthesis.

    Names of columns that a CTE or an alias lists stand before a parenthesis too: as many as the tree has.

    Args:
        tokens: The text that will run.
        tree: The same, parsed.
        dialect: Its dialect.

    Raises:
        SqlRejected: It calls a function that is not allowed.
    """
    unknown = Counter(name for name in _called(tokens) if not allowed(name, dialect))
    if not unknown:
        return
    listing = Counter(
        alias.name.lower()
        for alias in tree.find_all(exp.TableAlias)
        if alias.columns and isinstance(alias.this, exp.Identifier)
    )
    for name, count in unknown.items():
        if count > listing[name]:
            raise SqlRejected(f"the function {name} is not allowed.", Rule.FUNCTION)


def _called(tokens: list[sqlglot.Token]) -> Iterator[str]:
    for index, following in enumerate(tokens[1:]):
        token, name = tokens[index], tokens[index].text.lower()
        if following.token_type is not TokenType.L_PAREN or token.token_type in TEXTS:
            continue
        if token.token_type in _QUOTED:
            yield name
        elif re.fullmatch(r"[^\W\d][\w$]*", name) and name not in PLAIN:
            sampled = name in SAMPLES and index and tokens[index - 1].text.upper() in ("TABLESAMPLE", "SAMPLE")
            if not sampled:
                yield name
