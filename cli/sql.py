"""`parley sql`: databases, their schemas, questions to them, and statements that only read."""

from __future__ import annotations

import csv
import enum
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.conversations import confirmed
from cli.errors import CommandError, ServerError, UsageError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json, resource
from cli.output import JsonOption


class FileFormat(enum.StrEnum):
    """What a result may be written as."""

    CSV = "csv"
    XLSX = "xlsx"
    ARROW = "arrow"


app = typer.Typer(no_args_is_help=True, help="Databases: register them, ask them questions, run SQL that only reads.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The database.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database", "-d", envvar="PARLEY_DATABASE", help="The database; may be left out when only one is registered."
    ),
]
MaxRows = Annotated[int, typer.Option(help="At most this many rows; 0: the deployment's default.", min=0)]
ConfirmOption = Annotated[
    bool,
    typer.Option("--confirm-cost", help="Run it although it is estimated to cost more than the deployment's ceiling."),
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")]


@app.command()
def databases(gateway: GatewayOption = DEFAULT, as_json: JsonOption = False) -> None:
    """List the registered databases."""
    with Gateway(gateway) as client:
        found = client.pages("/api/v1/databases", "databases")
    if as_json:
        output.document({"databases": found})
    else:
        output.listing(
            ("database", "dialect", "about", "schema read"),
            map(_database_row, found),
            "No database is registered yet: parley sql add NAME URL",
        )


def _database_row(database: Json) -> tuple[str, str, str, str]:
    identifier = database["name"].removeprefix("databases/")
    title = database.get("displayName", "")
    about = " — ".join(part for part in (title if title != identifier else "", database.get("description", "")) if part)
    read = database.get("schemaTime", "")[:16].replace("T", " ")
    return (
        identifier,
        database.get("dialect", "").removeprefix("DIALECT_").lower(),
        about,
        f"{read} UTC" if read else "",
    )


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What to call it: lower-case letters, digits and hyphens.")],
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="postgresql://user:password@host/name, sqlite:////absolute/path, or the path of a SQLite file. "
            "`-` reads it from standard input, so that no password enters the shell's history.",
        ),
    ],
    description: Annotated[str, typer.Option(help="What it holds, in words: helps to choose the right one.")] = "",
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Register a database by its URL.

    Its schema is read at once; a database that cannot be reached is not registered.
    """
    body = {"url": _url(url), "description": description}
    with Gateway(gateway) as client:
        try:
            created = client.post("/api/v1/databases", body, databaseId=name).get("database", {})
        except ServerError as error:
            if body["url"].startswith("sqlite:") and any(field.endswith("url") for field, _ in error.violations):
                raise CommandError(f"{error} `parley up --sqlite-root FOLDER` says which folder that is.") from None
            raise
    if as_json:
        output.document(created)
    else:
        output.note(f'Registered {name}. Try: parley sql ask -d {name} "how many … are there?"')


def _url(given: str) -> str:
    """The URL that was meant. Raises UsageError when it is neither a URL nor a file."""
    if given == "-":
        given = typer.prompt("URL", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline().strip()
    if "://" in given:
        return given
    file = Path(given)
    if not file.is_file():
        # Not quoted: it may be a URL with a password that merely lacks its scheme.
        raise UsageError("URL: it is neither a URL (postgresql://…, sqlite:///…) nor an existing SQLite file.")
    return f"sqlite:///{file.resolve()}"


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Forget a registered database. The database itself is not touched."""
    if not yes and not confirmed(f"Forget {name}, with its URL and schema here?"):
        return
    with Gateway(gateway) as client:
        client.delete(f"/api/v1/{resource('databases', name)}")
    output.note(f"Forgot {name}.")


@app.command()
def schema(
    name: Name,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read it from the database again first.")] = False,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show tables, columns, keys and sample values."""
    path = f"/api/v1/{resource('databases', name)}/schema"
    with Gateway(gateway) as client:
        found = (client.post(f"{path}:refresh", {}) if refresh else client.get(path)).get("schema", {})
    if as_json:
        output.document(found)
        return
    rows = [_column_row(table, column) for table in found.get("tables", []) for column in table.get("columns", [])]
    output.listing(("table", "column", "type", "key", "e.g."), _without_repeats(rows), "The database has no tables.")


def _column_row(table: Json, column: Json) -> tuple[str, str, str, str, str]:
    name = column["name"]
    keys = ["primary"] if name in table.get("primaryKey", []) else []
    for foreign in table.get("foreignKeys", []):
        pairs = dict(zip(foreign.get("columns", []), foreign.get("referredColumns", []), strict=False))
        if name in pairs:
            keys.append(f"→ {foreign.get('referredTable', '')}.{pairs[name]}")
    kind = column.get("type", "") + ("" if column.get("nullable") else " not null")
    return table["name"], name, kind, " ".join(keys), ", ".join(column.get("sampleValues", [])[:3])


def _without_repeats(rows: list[tuple[str, ...]] | list[tuple[str, str, str, str, str]]) -> Iterator[tuple[str, ...]]:
    """The rows with a table's name only on its first one, for people; programs get it on each."""
    previous = ""
    for row in rows:
        repeated = output.on_terminal() and row[0] == previous
        yield ("", *row[1:]) if repeated else tuple(row)
        previous = row[0]


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, in English or Vietnamese.")],
    database: DatabaseOption = None,
    engine: Annotated[str, typer.Option(help="What writes the SQL: embedded, or a chat model's id.")] = "",
    max_rows: MaxRows = 0,
    guess: Annotated[bool, typer.Option("--guess", help="Answer the likeliest reading, ask nothing back.")] = False,
    candidates: Annotated[
        int, typer.Option(help="Statements that a chat model writes; the one that most agree on is run.", min=0, max=32)
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Write the SQL, do not run it.")] = False,
    confirm_cost: ConfirmOption = False,
    as_csv: CsvOption = False,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Ask a database a question.

    Shows the SQL, its rows, and a sentence that answers.
    """
    with Gateway(gateway) as client:
        name = chosen_database(client, database)
        body: Json = {"question": question, "engine": engine}
        if dry_run:
            query = client.post(f"/api/v1/{name}:generateQuery", body).get("query", {})
            output.document(query) if as_json else _explain(query)
            return
        asked = body | {"maxRows": max_rows} | ({"confirmCost": True} if confirm_cost else {})
        asked |= {"guess": True} if guess else {}
        asked |= {"thinking": {"candidates": candidates}} if candidates else {}
        events = client.events(f"/api/v1/{name}:ask", asked, last=("answer", "clarification"))
        _show(events, as_json, as_csv)


@app.command()
def run(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; `-` reads it from standard input.")],
    database: DatabaseOption = None,
    max_rows: MaxRows = 0,
    skip: Annotated[int, typer.Option(help="Leave out so many rows at the beginning: the next page.", min=0)] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds; 0: the deployment's default.", min=0)] = 0,
    confirm_cost: ConfirmOption = False,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the whole result to this file.", dir_okay=False)
    ] = None,
    form: Annotated[
        FileFormat | None, typer.Option("--format", help="Of that file; else its name says: .csv, .xlsx, .arrow.")
    ] = None,
    as_csv: CsvOption = False,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Run one reading statement and print its rows, or write them to a file."""
    body: Json = {"sql": sys.stdin.read() if statement == "-" else statement, "maxRows": max_rows}
    if confirm_cost:
        body["confirmCost"] = True
    if file is not None or form is not None:
        kind = _file_format(file, form)
        assert file is not None
        with Gateway(gateway) as client:
            name = chosen_database(client, database)
            size = client.download(f"/api/v1/{name}:exportQuery", body | {"format": f"EXPORT_FORMAT_{kind}"}, file)
        output.note(f"Wrote {file}, {size:,} bytes.")
        return
    if skip:
        body["skip"] = str(skip)
    if timeout:
        body["timeout"] = f"{timeout:.9f}s"
    with Gateway(gateway) as client:
        name = chosen_database(client, database)
        _show(client.events(f"/api/v1/{name}:executeQuery", body, last="summary"), as_json, as_csv)


def _file_format(file: Path | None, form: FileFormat | None) -> str:
    """The name of an export's format. Raises UsageError where nothing says it, or there is no file."""
    if file is None:
        raise UsageError("--format: say the file too: --output FILE. Rows go to standard output with --csv.")
    if form is not None:
        return form.value.upper()
    ending = file.suffix.removeprefix(".").lower()
    if ending not in {known.value for known in FileFormat}:
        raise UsageError(f"--output: {file.name} does not say its format. Add --format csv, xlsx or arrow.")
    return ending.upper()


@app.command()
def explain(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; `-` reads it from standard input.")],
    database: DatabaseOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Run it and its rewrites, to say how long they take.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Show the database's plan too.")] = False,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Say what a statement costs, what it reads in full, and what would make it cost less."""
    body: Json = {"sql": sys.stdin.read() if statement == "-" else statement, "measure": measure}
    with Gateway(gateway) as client:
        found = client.post(f"/api/v1/{chosen_database(client, database)}:explainQuery", body)
    if as_json:
        output.document(found)
    else:
        output.write("\n".join(_explained(found, plan)) + "\n")


def _explained(found: Json, plan: bool) -> Iterator[str]:
    """An explanation, line by line."""
    took = f", took {output.milliseconds(found['elapsed'])}" if "elapsed" in found else ""
    confirm = ", above the ceiling: it needs --confirm-cost" if found.get("needsConfirmation") else ""
    yield f"cost {found.get('cost', 0):,.0f}{took}{confirm}"
    for scan in found.get("scans", []):
        kept = f", for those with {scan['filter']}" if scan.get("filter") else ""
        yield f"reads all {int(scan.get('rows', 0)):,} rows of {scan['table']}{kept}"
    for index in found.get("indexes", []):
        yield f"an index would help; {index['reason']}\n  {index['statement']};"
    for rewrite in found.get("rewrites", []):
        took = f", took {output.milliseconds(rewrite['elapsed'])}" if "elapsed" in rewrite else ""
        yield f"cost {rewrite.get('cost', 0):,.0f}{took} when written so; {rewrite['reason']}\n  {rewrite['sql']};"
    if plan:
        yield found.get("plan", "")


semantics = typer.Typer(no_args_is_help=True, help="The semantic layer: synonyms, metrics and joins, as YAML.")
app.add_typer(semantics, name="semantics")


@semantics.command("get")
def semantics_get(name: Name, gateway: GatewayOption = DEFAULT) -> None:
    """Print a database's semantic layer."""
    with Gateway(gateway) as client:
        output.write(client.get(f"/api/v1/{resource('databases', name)}/semanticLayer").get("yaml", ""))


@semantics.command("set")
def semantics_set(
    name: Name,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The YAML file; `-` reads standard input.")],
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Replace a database's semantic layer by a file; an empty one removes it.

    Every table and column that it names must be there, every metric and join must run; else nothing changes.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"FILE: {file} cannot be read as text: {error}.") from None
    with Gateway(gateway) as client:
        found = client.put(f"/api/v1/{resource('databases', name)}/semanticLayer", {"yaml": text})
    if as_json:
        output.document(found)
        return
    for warning in found.get("warnings", []):
        output.note(f"warning: {warning}")
    output.note(f"The semantic layer of {name} is in use." if text.strip() else f"{name} has no semantic layer now.")


def chosen_database(client: Gateway, given: str | None) -> str:
    """databases/{database}: the one named, or the only one there is. Raises UsageError when that is not clear."""
    if given:
        return resource("databases", given)
    found = [database["name"] for database in client.pages("/api/v1/databases", "databases", 5)]
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise CommandError("no database is registered yet. Register one: parley sql add NAME URL")
    names = ", ".join(name.removeprefix("databases/") for name in found)
    raise UsageError(f"--database: say which: {names}" + (", …" if len(found) == 5 else ""))


def _explain(query: Json) -> None:
    """Shows a generated query that was not run."""
    output.write(query.get("sql", "") + "\n")
    output.note(
        f"{query.get('explanation', '')} (confidence {query.get('confidence', 0):.0%}, {query.get('engine', '')})"
    )
    for other in query.get("alternatives", []):
        output.note(f"or: {other.get('explanation', '')}: {other.get('sql', '')}")


def _show(events: Iterator[Json], as_json: bool, as_csv: bool) -> None:
    """Shows the parts of a result: the statement, the rows, the sentence."""
    if as_json:
        for event in events:
            output.line(event)
        return
    rows = Rows(as_csv)
    try:
        for event in events:
            match event:
                case {"query": query}:
                    output.note(query.get("sql", ""))
                case {"columns": columns}:
                    rows.begin(columns.get("columns", []))
                case {"rows": batch}:
                    rows.add(batch.get("rows", []))
                case {"answer": answer}:
                    rows.end(answer.get("summary", {}))
                    if not as_csv:
                        output.write(answer.get("text", "") + "\n")
                case {"summary": summary}:
                    rows.end(summary)
                case {"step": step}:
                    output.note(step.get("text", ""))
                case {"clarification": back}:
                    _show_choices(back)
    finally:
        rows.flush()


def _show_choices(back: Json) -> None:
    """Shows a question back: its choices with the statements that `parley sql run` takes."""
    output.write(back.get("text", "") + "\n")
    for number, choice in enumerate(back.get("choices", []), 1):
        output.write(f"{number}. {choice.get('text', '')}\n")
        output.note(f"   {choice.get('sql', '')}")
    output.note("Run one of these with `parley sql run`, or ask again with --guess.")


class Rows:
    """Rows as they arrive: collected for a terminal's table, written at once when piped.

    Args:
        as_csv: Write CSV.
    """

    def __init__(self, as_csv: bool) -> None:
        self._csv = csv.writer(sys.stdout, lineterminator="\n") if as_csv else None
        self._columns: list[Json] | None = None
        self._held: list[list[Any]] = []

    def begin(self, columns: list[Json]) -> None:
        """Takes the columns."""
        names = [column.get("name", "") for column in columns]
        if self._csv:
            self._csv.writerow(names)
        elif output.on_terminal():
            self._columns = columns
        else:
            output.table(columns, [])

    def add(self, rows: list[list[Any]]) -> None:
        """Takes rows."""
        if self._csv:
            self._csv.writerows([output.cell(value) for value in row] for row in rows)
        elif self._columns is not None:
            self._held += rows
        else:
            for row in rows:
                sys.stdout.write("\t".join(output.flat(output.cell(value)) for value in row) + "\n")
        sys.stdout.flush()

    def flush(self) -> None:
        """Shows what was held, also when the stream broke off."""
        if self._columns is not None:
            output.table(self._columns, self._held)
            self._columns, self._held = None, []

    def end(self, summary: Json) -> None:
        """Shows what was held, and how much it is."""
        self.flush()
        count = int(summary.get("rowCount", 0))
        cut = ", cut off at the row limit (--max-rows)" if summary.get("truncated") else ""
        took = f", {output.milliseconds(summary['elapsed'])} in the database" if "elapsed" in summary else ""
        output.note(f"{count:,} row{'' if count == 1 else 's'}{cut}{took}")
