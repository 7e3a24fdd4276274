"""What it costs that rows are kept apart by organisation and owner: against queries that say so by hand.

    python -m bench.tenancy [--url sqlite:///… | postgresql://…] [--rows 20000] [--calls 300] [--rounds 7]

The chat service's tables hold conversations of many organisations; the database must be empty, and is a temporary
SQLite file where none is named. Each round does every kind of transaction as many times as `--calls`, once as services
do, through services/mesh/tenancy.py, and once in a plain session of SQLAlchemy's with the criteria written into the
query; printed is the median over the rounds of the processor time that this process used.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, insert, select, update
from sqlalchemy.orm import Session

from services.chat.store import MIGRATIONS, ConversationRow
from services.mesh import database as databases
from services.mesh.database import Database, driver_url
from services.mesh.tenancy import Scope, TenantSession, watch

ORGANISATIONS, USERS = 20, 10
ORGANISATION, OWNER = "org-7", "org-7/user-3"
PAGE = 50
Work = Callable[[Session, bool], object]


def row(number: int) -> dict[str, object]:
    """A conversation of one of the users."""
    organisation = f"org-{number % ORGANISATIONS}"
    owner = f"{organisation}/user-{number // ORGANISATIONS % USERS}"
    return {
        "id": f"{number:032x}", "title": "", "model": "", "database": "", "create_time": number,
        "update_time": number, "organisation": organisation, "owner": owner,
    }  # fmt: skip


def mine(by_hand: bool) -> tuple[object, ...]:
    """The criteria, where they are written by hand."""
    return (ConversationRow.organisation == ORGANISATION, ConversationRow.owner == OWNER) if by_hand else ()


def transactions(identifier: str) -> dict[str, Work]:
    """What is measured."""
    newest = ConversationRow.update_time.desc(), ConversationRow.id.desc()

    def get(session: Session, by_hand: bool) -> object:
        query = select(ConversationRow).where(ConversationRow.id == identifier, *mine(by_hand))  # type: ignore[arg-type]  # criteria
        return session.scalars(query).one()

    def page(session: Session, by_hand: bool) -> object:
        query = select(ConversationRow).where(*mine(by_hand)).order_by(*newest).limit(PAGE)  # type: ignore[arg-type]  # criteria
        return session.scalars(query).all()

    def change(session: Session, by_hand: bool) -> object:
        query = update(ConversationRow).where(ConversationRow.id == identifier, *mine(by_hand))  # type: ignore[arg-type]  # criteria
        return session.execute(query.values(title="changed"))

    def add(session: Session, by_hand: bool) -> object:
        given = {"organisation": ORGANISATION, "owner": OWNER} if by_hand else {}
        made = {**row(3), "id": uuid.uuid4().hex, "update_time": 0}
        del made["organisation"], made["owner"]
        session.add(ConversationRow(**made, **given))
        session.flush()
        return None

    return {"get": get, f"page of {PAGE}": page, "update": change, "insert": add}


def engine(url: str) -> Engine:
    """An engine as services/mesh/database.py makes it, watched by nobody."""
    made = create_engine(driver_url(url))
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", databases._prepare_sqlite)
        event.listen(made, "begin", databases._begin_immediately)
    return made


def measured(begin: Callable[[], Session], work: Work, calls: int, *, by_hand: bool) -> float:
    """Microseconds of this process's time for a transaction: what the database itself takes is the same."""
    started = time.process_time()
    for _ in range(calls):
        with begin() as session, session.begin():
            work(session, by_hand)
    return (time.process_time() - started) / calls * 1e6


async def main() -> None:
    """Fills the database, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        url = options.url or f"sqlite:///{Path(folder) / 'chat.db'}"
        database = Database(url, MIGRATIONS)
        await database.migrate()
        await database.close()
        plain, watched = engine(url), engine(url)
        watch(watched)
        with plain.begin() as connection:
            connection.execute(insert(ConversationRow.__table__), [row(n) for n in range(options.rows)])  # type: ignore[arg-type]  # a table
        scope = Scope(ORGANISATION, OWNER)
        own = next(row(n) for n in range(options.rows) if row(n)["owner"] == OWNER)
        print(f"{driver_url(url).get_backend_name()}, {options.rows:,} conversations of {ORGANISATIONS * USERS} users")
        print(f"{'transaction':<12} {'by hand':>10} {'tenancy':>10} {'more':>9} {'ratio':>7}")
        for name, work in transactions(str(own["id"])).items():
            hand, kept = [], []
            for _ in range(options.rounds):
                hand.append(measured(lambda: Session(plain), work, options.calls, by_hand=True))
                kept.append(measured(lambda: TenantSession(watched, scope), work, options.calls, by_hand=False))
            one, two = statistics.median(hand[1:]), statistics.median(kept[1:])
            print(f"{name:<12} {one:>7.0f} µs {two:>7.0f} µs {two - one:>6.0f} µs {two / one:>6.2f}x")
        plain.dispose()
        watched.dispose()


if __name__ == "__main__":
    asyncio.run(main())
