"""When a question is answered, when it is asked back, when it is refused, and how long a model may think about it."""

from __future__ import annotations

from dataclasses import dataclass

from services.sql.engine.ambiguity import QuestionBack, ambiguity
from services.sql.engine.refusals import said
from services.sql.errors import QuestionNotUnderstood
from services.sql.query import GeneratedQuery, Thinking


@dataclass(frozen=True)
class Policy:
    """The deployment's choices."""

    clear: float = 0.5
    """From this confidence on a question is answered although it has another reading that is nearly as likely; 0: it is
    never asked back. Not below `enough` otherwise."""
    enough: float = 0.0
    """An answer that is less sure is not given."""
    repairs: int = 1
    """How often an engine may write a statement anew that was refused or failed."""
    candidates: int = 1
    """Statements that a language model writes where the request does not say."""
    most_candidates: int = 16
    thinking_tokens: int = 60_000
    """Tokens for thinking at most."""
    thinking_seconds: float = 60.0
    """Seconds for thinking at most."""

    def thinking(self, asked: Thinking | None) -> Thinking:
        """How long to think about a request: never longer than the deployment allows."""
        wanted = asked or Thinking(0)
        return Thinking(
            min(wanted.candidates or self.candidates, self.most_candidates),
            min(wanted.tokens or self.thinking_tokens, self.thinking_tokens),
            min(wanted.seconds or self.thinking_seconds, self.thinking_seconds),
        )

    def back(self, query: GeneratedQuery, question: str) -> QuestionBack | None:
        """The question to ask back; None where the answer may be given."""
        return ambiguity(query, question, self.clear)

    def check(self, query: GeneratedQuery, question: str) -> None:
        """Raises QuestionNotUnderstood for an answer that is not sure enough."""
        if query.confidence < self.enough:
            raise QuestionNotUnderstood(
                said(question, "unsure", [f"{query.confidence:.0%}", query.explanation]), query.unknown_words
            )
