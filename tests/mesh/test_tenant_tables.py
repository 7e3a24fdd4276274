"""The tables of all services: whose each row is, and what becomes of rows that are older than that question."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase

from services.asr import store as asr
from services.chat import store as chat
from services.identity import tables as identity
from services.image import options_store, store
from services.mesh.database import Database, driver_url
from services.mesh.tenancy import Owned, Tenant
from services.sql.application import MIGRATIONS as SQL_MIGRATIONS
from services.sql.knowledge.history_store import QueryRow
from services.sql.knowledge.knowledge_store import ExampleRow, VerdictRow
from services.sql.store import DatabaseRow

MIGRATIONS = {
    "chat": chat.MIGRATIONS,
    "asr": asr.MIGRATIONS,
    "image": store.MIGRATIONS,
    "sql": SQL_MIGRATIONS,
    "identity": identity.MIGRATIONS,
}
# The revision that first asked.
TENANTS = {"chat": "0002_owners", "asr": "0002_owners", "image": "0003_organisations", "sql": "0005_organisations"}
ROWS: dict[str, set[type[DeclarativeBase]]] = {
    "chat": {chat.ConversationRow, chat.MessageRow},
    "asr": {asr.RecordingRow, asr.TranscriptionRow, asr.SegmentRow},
    "image": {store.JobRow, store.PictureRow, options_store.OptionsRow},
    "sql": {DatabaseRow, ExampleRow, VerdictRow, QueryRow},
}
# An organisation's, whoever of it asks; all others are their owners' alone.
SHARED = {"databases", "examples", "verdicts", "queries"}
NOBODYS = {
    "signing_keys": "the deployment's one issuer signs for all organisations",
    "organisations": "the organisations themselves, by their names",
    # Numbers of revisions.
    "alembic_version": "of the schema",
    "parley_schema": "of the schema",
}
# JSON says that it is any object.
VALUES: dict[type, Any] = {str: "x", int: 1, float: 1.0, bool: False, object: {}, bytes: b"x"}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    address: str = request.getfixturevalue("postgres")
    return address


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The database as it is, beside what services make of it."""
    engine = create_engine(driver_url(url))
    yield engine
    engine.dispose()


async def migrate(url: str, versions: pathlib.Path) -> None:
    """Brings a database up to the newest revision of a folder."""
    database = Database(url, versions)
    await database.migrate()
    await database.close()


def before_tenants(service: str, folder: pathlib.Path) -> pathlib.Path:
    """A service's migrations as they were before there were organisations."""
    made = folder / "before"
    (made / "versions").mkdir(parents=True)
    for revision in MIGRATIONS[service].glob("versions/*.py"):
        if revision.stem < TENANTS[service]:
            shutil.copy(revision, made / "versions")
    return made


def tables(engine: Engine) -> list[Table]:
    """The service's tables as they are, those that others refer to first."""
    found = MetaData()
    found.reflect(engine)
    return [table for table in found.sorted_tables if table.name not in NOBODYS]


def fill(connection: Connection, table: Table, **known: Any) -> None:
    """Adds a row with a value in every column that needs one, and with `known` where it has such columns."""
    values = {}
    for column in table.columns:
        if column.name in known:
            values[column.name] = known[column.name]
        elif not column.nullable and column.server_default is None and column.autoincrement is not True:
            kind = column.type.python_type
            values[column.name] = datetime(2026, 1, 1) if kind is datetime else VALUES[kind]  # noqa: DTZ001 — as stored
    connection.execute(insert(table), values)


def contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows by table."""
    with engine.connect() as connection:
        return {t.name: [dict(row) for row in connection.execute(select(t)).mappings()] for t in tables(engine)}


@pytest.mark.parametrize("service", MIGRATIONS)
async def test_every_row_has_an_organisation(service: str, url: str, engine: Engine) -> None:
    await migrate(url, MIGRATIONS[service])
    found = {table.name: table for table in tables(engine)}
    for name, table in found.items():
        assert "organisation" in table.columns, f"whose are the rows of {name}?"
        assert not table.columns["organisation"].nullable, name
    if service in ROWS:
        rows = {row.__tablename__: row for row in ROWS[service]}
        assert rows.keys() == found.keys(), "every table has a class, and this test knows it"
        for name, row in rows.items():
            assert issubclass(row, Tenant if name in SHARED else Owned), name
            assert {column.name for column in row.__table__.columns} == set(found[name].columns.keys()), name
            assert {column.name for column in row.__table__.primary_key} == {
                column.name for column in found[name].primary_key
            }, name


@pytest.mark.parametrize("service", TENANTS)
async def test_what_was_there_before_is_the_first_administrators(
    service: str, url: str, engine: Engine, tmp_path: pathlib.Path
) -> None:
    await migrate(url, before_tenants(service, tmp_path))
    known = tables(engine)
    with engine.begin() as connection:
        for table in known:
            fill(connection, table, owner="")
    before = contents(engine)
    await migrate(url, MIGRATIONS[service])
    after = contents(engine)
    for name, rows in before.items():
        mine = {"organisation": "default"} | ({} if name in SHARED else {"owner": "default/admin"})
        assert after[name] == [row | mine for row in rows], name
    # A process of the version before, which goes on for the time of an update, still knows how to write.
    with engine.begin() as connection:
        for table in known:
            taken = {c.name: "y" for c in table.columns if c.primary_key or c.unique or c.foreign_keys}
            strings = {n: v for n, v in taken.items() if table.columns[n].type.python_type is str}
            numbers = {"seq": 7} if "seq" in table.columns else {}
            fill(connection, table, **{**strings, "id": "y", "database": "y", "fingerprint": "y", **numbers})
    for name, rows in contents(engine).items():
        assert len(rows) == 2, name
        assert {row["organisation"] for row in rows} == {"default"}, name


async def test_pictures_of_users_stay_theirs(url: str, engine: Engine, tmp_path: pathlib.Path) -> None:
    await migrate(url, before_tenants("image", tmp_path))
    owners = ["acme/ann", "default/bob", "rival/eve", "carol", ""]
    with engine.begin() as connection:
        for table in tables(engine):
            for owner in owners:
                fill(connection, table, owner=owner, id=owner or "nobody's")
    await migrate(url, MIGRATIONS["image"])
    for name, rows in contents(engine).items():
        assert {(row["organisation"], row["owner"]) for row in rows} == {
            ("acme", "acme/ann"),
            ("default", "default/bob"),
            ("rival", "rival/eve"),
            ("default", "carol"),
            ("default", "default/admin"),
        }, name


async def test_databases_take_what_is_theirs_with_them(url: str, engine: Engine) -> None:
    """Two organisations' databases of one id: the rows of one go with it, those of the other stay."""
    await migrate(url, MIGRATIONS["sql"])
    with engine.begin() as connection:
        for table in tables(engine):
            for number, organisation in enumerate(["acme", "rival"]):
                fill(
                    connection,
                    table,
                    organisation=organisation,
                    **({"id": str(number)} if table.name != "databases" else {}),
                )
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.execute(text("DELETE FROM databases WHERE organisation = 'acme'"))
        connection.commit()
    for name, rows in contents(engine).items():
        assert [row["organisation"] for row in rows] == ["rival"], name
