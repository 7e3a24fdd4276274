"""`parley sql feedback`, `examples`, `suggest`, `eval`: what a knowledge base learns, and how well it does."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.conversations import confirmed
from cli.errors import CommandError, UsageError
from cli.evaluation import HEADINGS, Evaluation, read
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json, segment
from cli.output import JsonOption
from cli.sql import DatabaseOption, chosen_database

examples = typer.Typer(
    no_args_is_help=True, help="Questions with their right statements, which the next answers follow."
)

Example = Annotated[str, typer.Argument(metavar="EXAMPLE", help="Its id, as `list` shows it.")]
MAX_MISSES = 20


class Verdict(enum.StrEnum):
    """What somebody thinks of a query."""

    RIGHT = "right"
    WRONG = "wrong"


class ReviewState(enum.StrEnum):
    """Whether somebody looked at an example."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"


def feedback(
    verdict: Annotated[Verdict, typer.Argument(help="What you think of the statement.")],
    question: Annotated[str, typer.Option("--question", "-q", help="The question; left out: your last query's.")] = "",
    sql: Annotated[str, typer.Option(help="The statement that was judged; left out: your last query's.")] = "",
    corrected: Annotated[str, typer.Option("--corrected", "-c", help="The statement that would have been right.")] = "",
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Say whether a query was right; the next question learns from it.

    Without a question it is about your last query.
    """
    body: Json = {"verdict": f"VERDICT_{verdict.value.upper()}", "correctedSql": corrected, "comment": comment}
    with Gateway(gateway) as client:
        name = chosen_database(client, database)
        if question:
            body |= {"question": question, "sql": sql}
        else:
            body["query"] = _last_query(client, name)
        made = client.post(f"/api/v1/{name}:submitFeedback", body).get("example") or {}
    if as_json:
        output.document(made)
    elif made:
        output.note(f"{_id(made)}: {made.get('question', '')} ({_state(made)})")
    else:
        output.note("Noted: that statement is not given to this question again.")


def _last_query(client: Gateway, database: str) -> str:
    """The caller's last query. Raises UsageError when there is none."""
    found = client.pages(f"/api/v1/{database}/queries", "queries", 1)
    if not found:
        raise UsageError("--question: you have no earlier query here; say the question and its statement.")
    return str(found[0]["name"])


def suggest(
    count: Annotated[int, typer.Option(help="How many.", min=1, max=50)] = 5,
    language: Annotated[str, typer.Option(help="en or vi.")] = "en",
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Suggest questions that the database can answer."""
    with Gateway(gateway) as client:
        name = chosen_database(client, database)
        found = client.get(f"/api/v1/{name}/suggestions", count=count, languageCode=language).get("suggestions", [])
    if as_json:
        output.document({"suggestions": found})
    else:
        rows = [(item.get("question", ""), item.get("sql", "")) for item in found]
        output.listing(("question", "statement"), rows, "Nothing can be suggested: the tables are empty.")


def evaluate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help='JSON lines: {"question": "…", "sql": "…"}.')],
    engine: Annotated[
        list[str] | None, typer.Option("--engine", help="Engine or model to try; may be given several times.")
    ] = None,
    misses: Annotated[bool, typer.Option("--misses", help="Show the questions that were not answered right.")] = False,
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Measure how often your own questions are answered right.

    Each question's statement and the one that the engine writes are run, and their results compared.
    """
    questions = read(file)
    tallies = []
    with Gateway(gateway) as client:
        evaluation = Evaluation(client, chosen_database(client, database))
        for name in engine or [""]:
            for tally in evaluation.run(questions, name):
                if sys.stderr.isatty():
                    sys.stderr.write(f"\r{name or 'default'}: {tally.asked} of {len(questions)}")
            if sys.stderr.isatty():
                sys.stderr.write("\r\033[K")
            tallies.append(tally)
    if as_json:
        output.document([dict(zip(HEADINGS, tally.row(), strict=True)) for tally in tallies])
        return
    output.listing(HEADINGS, [tally.row() for tally in tallies], "")
    if misses:
        for tally in tallies:
            for question, said in tally.misses[:MAX_MISSES]:
                output.write(f"\n{question.question}\n  {said}\n  right: {question.sql}\n")


@examples.command("list")
def list_(
    state: Annotated[ReviewState | None, typer.Option(help="Only those in this state.")] = None,
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List the examples, the newest first."""
    with Gateway(gateway) as client:
        found = client.pages(f"/api/v1/{chosen_database(client, database)}/examples", "examples")
    if state is not None:
        found = [item for item in found if _state(item) == state.value]
    if as_json:
        output.document({"examples": found})
    else:
        output.listing(("example", "state", "used", "question", "statement", "comment"), map(_row, found), "None yet.")


def _row(example: Json) -> tuple[str, ...]:
    return (
        _id(example),
        _state(example),
        str(example.get("useCount", "0")),
        example.get("question", ""),
        example.get("sql", ""),
        example.get("comment", ""),
    )


def _id(example: Json) -> str:
    return str(example.get("name", "")).rpartition("/")[2]


def _state(example: Json) -> str:
    return str(example.get("state", "")).removeprefix("REVIEW_STATE_").lower()


@examples.command()
def add(
    question: Annotated[str, typer.Argument(help="The question.")],
    sql: Annotated[str, typer.Argument(metavar="SQL", help="The statement that answers it.")],
    comment: Annotated[str, typer.Option(help="Why it is right.")] = "",
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add an approved example. Its statement must run."""
    body: Json = {"question": question, "sql": sql, "comment": comment}
    with Gateway(gateway) as client:
        made = client.post(f"/api/v1/{chosen_database(client, database)}/examples", body).get("example", {})
    output.document(made) if as_json else output.note(f"Added {_id(made)}.")


@examples.command()
def review(
    name: Example,
    state: Annotated[ReviewState, typer.Argument(help="What it is from now on.")],
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Approve or reject an example."""
    with Gateway(gateway) as client:
        path = f"/api/v1/{chosen_database(client, database)}/examples/{segment(name)}"
        client.patch(path, {"state": f"REVIEW_STATE_{state.value.upper()}"})
    output.note(f"{name} is {state.value}.")


@examples.command()
def remove(
    name: Example,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Forget an example."""
    if not yes and not confirmed(f"Forget {name}?"):
        return
    with Gateway(gateway) as client:
        client.delete(f"/api/v1/{chosen_database(client, database)}/examples/{segment(name)}")
    output.note(f"Forgot {name}.")


@examples.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, as `export` writes them.")],
    database: DatabaseOption = None,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add examples from a file. Lines at fault are named and left out."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: it cannot be read: {error}.") from None
    with Gateway(gateway) as client:
        found = client.post(f"/api/v1/{chosen_database(client, database)}/examples:import", {"jsonl": text})
    if as_json:
        output.document(found)
        return
    errors = found.get("errors", [])
    for fault in errors:
        output.note(f"{file}:{fault.get('line', 0)}: {fault.get('message', '')}")
    output.note(f"{found.get('added', 0)} added, {found.get('unchanged', 0)} were there already.")
    if errors:
        raise CommandError(f"{len(errors)} line{'' if len(errors) == 1 else 's'} of {file} left out.")


@examples.command()
def export(database: DatabaseOption = None, gateway: GatewayOption = DEFAULT) -> None:
    """Write the examples to standard output as JSON lines."""
    with Gateway(gateway) as client:
        name = chosen_database(client, database)
        for piece in client.bytes_of(f"/api/v1/{name}/examples:export"):
            sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def register(app: typer.Typer) -> None:
    """Adds these commands to `parley sql`."""
    app.command()(feedback)
    app.command()(suggest)
    app.command("eval")(evaluate)
    app.add_typer(examples, name="examples")
