"""What can go wrong with databases, questions and statements."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Unavailable


class SqlRejected(InvalidArgument):
    """The guard refuses the statement.

    Args:
        description: Which rule it breaks, and what would pass.
    """

    reason = "SQL_REJECTED"

    def __init__(self, description: str) -> None:
        super().__init__("sql", description)


class SqlFailed(FailedPrecondition):
    """The database refused or failed the statement."""

    reason = "SQL_FAILED"


class SchemaOutdated(SqlFailed):
    """The statement names a table or column that the database does not have: its schema may have changed.

    Args:
        text: What the database said.
    """

    def __init__(self, text: str) -> None:
        super().__init__(
            f"The database refused the statement: {text.rstrip('.')}. "
            "If the database's schema changed, refresh the schema and ask again."
        )


class SqlTimeout(DeadlineExceeded):
    """The statement ran longer than its timeout and was stopped."""

    reason = "SQL_TIMEOUT"


class DatabaseUnavailable(Unavailable):
    """The user's database cannot be reached."""

    reason = "DATABASE_UNAVAILABLE"


class QuestionNotUnderstood(InvalidArgument):
    """The question does not lead to a query.

    Args:
        description: What was not understood and what helps.
        words: The words that stand for nothing known, as the question has them.
    """

    reason = "QUESTION_NOT_UNDERSTOOD"

    def __init__(self, description: str, words: Sequence[str] = ()) -> None:
        super().__init__("question", description, metadata={"unknown_words": ",".join(words)})


class EngineFailed(Unavailable):
    """The language model that should write the SQL refuses to, or answers with something else."""

    reason = "UPSTREAM_FAILED"
