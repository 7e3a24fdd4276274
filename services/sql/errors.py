"""What can go wrong with databases, questions and statements."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from services.mesh.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable


class Rule(enum.StrEnum):
    """The rules of the guard: which one a statement breaks."""

    SYNTAX = "syntax"
    """It is not valid in the dialect, or uses a part of it that only reading does not need."""
    STACKED = "stacked"
    """It is not exactly one statement."""
    WRITE = "write"
    """It writes, changes the schema or is another kind of statement than a query."""
    SESSION = "session"
    """It reads or changes the session: settings, variables, who is logged in, parameters."""
    LOCK = "lock"
    """It takes locks."""
    FUNCTION = "function"
    """It calls a function that is not known to only compute."""
    SYSTEM = "system"
    """It reads the database's own tables."""
    FILE = "file"
    """It reads a file or an address as a table."""
    CHARACTER = "character"
    """It holds characters that look like others, or like nothing."""
    COMMENT = "comment"
    """It holds a comment that databases read differently."""
    SIZE = "size"
    """It is too long or nested too deeply."""
    COST = "cost"
    """It computes without a bound: recursion, products of tables, generated values, patterns."""


class SqlRejected(InvalidArgument):
    """The guard refuses the statement.

    Args:
        description: What breaks the rule, and what would pass.
        rule: The rule; programs find it in the metadata.
    """

    reason = "SQL_REJECTED"

    def __init__(self, description: str, rule: Rule = Rule.SYNTAX) -> None:
        super().__init__("sql", description, metadata={"rule": rule.value})
        self.rule = rule


class ConfirmationRequired(FailedPrecondition):
    """The statement is estimated to cost more than the deployment's ceiling, and nobody confirmed that.

    Args:
        cost: The database's estimate, in its own unit.
        ceiling: The deployment's ceiling.
    """

    reason = "CONFIRMATION_REQUIRED"

    def __init__(self, cost: float, ceiling: float) -> None:
        super().__init__(
            f"The database estimates that this statement costs {cost:,.0f}; above {ceiling:,.0f} it has to be "
            "confirmed. Narrow it, see what ExplainQuery advises, or set confirm_cost.",
            metadata={"cost": f"{cost:.0f}", "ceiling": f"{ceiling:.0f}"},
        )


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


class NotOpen(PermissionDenied):
    """The statement reads, or the question needs, what the database does not show to the caller's role.

    Args:
        message: A sentence that names only what the caller named.
    """


class NoRoles(FailedPrecondition):
    """The caller's grant names a database role or session settings, and this kind of database has none.

    Args:
        kind: What has none: a dialect, or a schema without a database.
        what: What the grant names.
    """

    def __init__(self, kind: str, what: str = "a database role") -> None:
        super().__init__(
            f"Your grant names {what}, which {kind} does not have: nothing is read for you, since it could be more "
            "than you may see. An administrator gives you a grant without it, or moves the data to PostgreSQL."
        )


class RoleRefused(FailedPrecondition):
    """The database does not let the connection's user act as the role that the caller's grant names.

    Args:
        role: The role.
    """

    def __init__(self, role: str) -> None:
        super().__init__(
            f"The database does not let Parley act as the role {role!r} that your grant names: there is none of that "
            f"name, or the user in the database's URL is not a member of it. A database administrator runs: "
            f"GRANT {role} TO that user.",
            metadata={"role": role},
        )


class SqlTimeout(DeadlineExceeded):
    """The statement ran longer than its timeout and was stopped."""

    reason = "SQL_TIMEOUT"


class DatabaseUnavailable(Unavailable):
    """The user's database cannot be used now."""

    reason = "DATABASE_UNAVAILABLE"


class DatabaseUnreachable(DatabaseUnavailable):
    """Nothing answers at the user's database's address, or what does is no such database."""


class DatabaseRefused(DatabaseUnavailable):
    """The user's database answers and refuses the credentials: trying again helps nobody, a new URL does."""

    def __init__(self, message: str = "") -> None:
        super().__init__(
            message
            or "The database answers and refuses the user name, the password or the database's name. "
            "Correct them in its URL: UpdateDatabase takes a new one.",
            retry_after=None,
        )


class HostRefused(DatabaseRefused):
    """The user's database is at a host, or at an address, that this deployment does not connect to."""

    WHY = (
        "its host, or where its name leads, is not one that this deployment connects to. The deployment's operator "
        "lists the hosts of databases in PARLEY_SQL_HOSTS; those of the machine itself, of its link, of the deployment "
        "and of a cloud's metadata have to be listed by their addresses."
    )
    """What is wrong, and who can help; never more about what is where."""

    def __init__(self) -> None:
        super().__init__(f"The database is not asked: {self.WHY}")


class SchemaOnly(FailedPrecondition):
    """There is no database behind a schema: statements are written, not run.

    Args:
        resource: The database's resource name.
    """

    def __init__(self, resource: str) -> None:
        super().__init__(
            f"{resource} is a schema without a database: its statements can be written, not run. "
            "Give it a URL with UpdateDatabase.",
            metadata={"resource": resource},
        )


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
