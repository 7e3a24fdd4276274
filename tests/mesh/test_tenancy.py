"""Rows of tenants: nothing that a query does, or forgets, shows or changes those of another organisation.

Every test runs on SQLite and on a real PostgreSQL, through services/mesh/database.py as services use it.
"""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import (
    ForeignKey,
    Integer,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    defer,
    joinedload,
    make_transient_to_detached,
    mapped_column,
    relationship,
    selectinload,
)

from services.mesh import context, tenancy
from services.mesh.context import Call
from services.mesh.database import Database
from services.mesh.tenancy import Owned, TenancyError, Tenant

REVISION = '''"""First."""

from alembic import op
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "0001", None, None, None


def upgrade() -> None:
    op.create_table(
        "shelves",
        sa.Column("organisation", sa.String(63), server_default="default", nullable=False),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
    )
    op.create_table(
        "volumes",
        sa.Column("organisation", sa.String(63), server_default="default", nullable=False),
        sa.Column("owner", sa.String(200), server_default="default/admin", nullable=False),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shelf_id", sa.Integer, sa.ForeignKey("shelves.id"), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.create_table("languages", sa.Column("id", sa.Integer, primary_key=True))
'''


class Base(DeclarativeBase):
    """Tables of a library that several organisations share."""


class Shelf(Tenant, Base):
    """Everybody's in an organisation."""

    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    label: Mapped[str]
    volumes: Mapped[list[Volume]] = relationship(back_populates="shelf", order_by="Volume.id")


class Volume(Owned, Base):
    """Somebody's in an organisation."""

    __tablename__ = "volumes"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelves.id"))
    title: Mapped[str]
    shelf: Mapped[Shelf] = relationship(back_populates="volumes")


class Language(Base):
    """Nobody's."""

    __tablename__ = "languages"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)


VOLUMES = Base.metadata.tables["volumes"]
TITLES = {"acme/ann": ["a1", "a2"], "acme/bob": ["b1"], "rival/eve": ["e1", "e2", "e3"]}


def _add(rows: Sequence[Base], session: Session) -> None:
    session.add_all(rows)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Database]:
    """A library: acme's shelf 1 with volumes of Ann and Bob, rival's shelf 2 with volumes of Eve."""
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "0001_first.py").write_text(REVISION)
    url = f"sqlite:///{tmp_path}/library.db" if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url, versions.parent)
    await database.migrate()
    for shelf, organisation in enumerate(["acme", "rival"], 1):
        with tenancy.acting_for(organisation):
            await database.run(partial(_add, [Shelf(id=shelf, label=f"shelf {shelf}")]))
    for owner, titles in TITLES.items():
        with tenancy.acting_for(owner.partition("/")[0], owner):
            shelf = 1 if owner.startswith("acme") else 2
            await database.run(partial(_add, [Volume(shelf_id=shelf, title=title) for title in titles]))
    yield database
    await database.close()


async def as_ann(database: Database, work: Callable[[Session], Any]) -> Any:
    with tenancy.acting_for("acme", "acme/ann"):
        return await database.run(work)


async def everything(database: Database) -> list[tuple[str, str, str]]:
    """All volumes there are: organisation, owner and title."""
    with tenancy.everyone("the test looks at what is there"):
        return await database.run(
            lambda session: [(v.organisation, v.owner, v.title) for v in session.scalars(select(Volume))]
        )


def _refreshed(session: Session, row: Volume) -> Volume:
    session.expire(row)
    session.refresh(row)
    return row


OTHER = aliased(Volume)
MINE = ["a1", "a2"]
READS: dict[str, tuple[Callable[[Session], Any], Any]] = {
    "select": (lambda s: [v.title for v in s.scalars(select(Volume).order_by(Volume.id))], MINE),
    "columns": (lambda s: list(s.scalars(select(Volume.title).order_by(Volume.id))), MINE),
    "condition": (lambda s: list(s.scalars(select(Volume.title).where(Volume.title == "e1"))), []),
    "or": (lambda s: sorted(s.scalars(select(Volume.title).where((Volume.id > 0) | (Volume.id < 0)))), MINE),
    "own criterion": (lambda s: list(s.scalars(select(Volume.title).where(Volume.organisation == "rival"))), []),
    "get": (lambda s: [s.get(Volume, number) is not None for number in range(1, 7)], [True] * 2 + [False] * 4),
    "get for update": (lambda s: s.get(Volume, 4, with_for_update=True), None),
    "count": (lambda s: s.scalar(select(func.count()).select_from(Volume)), 2),
    "count of a column": (lambda s: s.scalar(select(func.count(Volume.id)).select_from(Volume)), 2),
    "count of nothing in particular": (lambda s: s.scalar(select(func.count()).where(Volume.title != "")), 2),
    "exists of nothing in particular": (lambda s: s.scalar(select(exists().where(Volume.title == "e1"))), False),
    "exists": (
        lambda s: s.scalar(select(select(Volume.id).where(Volume.title == "e1").exists())),
        False,
    ),
    "exists of a shelf": (
        lambda s: list(s.scalars(select(Shelf.id).where(select(Volume.id).where(Volume.title == "e1").exists()))),
        [],
    ),
    "in a subquery": (
        lambda s: list(s.scalars(select(Shelf.id).where(Shelf.id.in_(select(Volume.shelf_id))))),
        [1],
    ),
    "from a subquery": (
        lambda s: sorted(s.scalars(select(select(Volume.title).subquery().c.title))),
        MINE,
    ),
    "common table expression": (lambda s: sorted(s.scalars(select(select(Volume.title).cte().c.title))), MINE),
    "union": (
        lambda s: sorted(s.scalars(union_all(select(Volume.title), select(Volume.title)))),
        ["a1", "a1", "a2", "a2"],
    ),
    "union of entities": (
        lambda s: sorted(
            v.title
            for v in s.scalars(
                select(Volume).from_statement(union_all(select(Volume), select(Volume).where(Volume.id < 0)))
            )
        ),
        MINE,
    ),
    "alias": (lambda s: sorted(s.scalars(select(OTHER.title))), MINE),
    "self join": (lambda s: s.scalar(select(func.count()).select_from(Volume).join(OTHER, Volume.id != OTHER.id)), 2),
    "join": (lambda s: sorted(s.scalars(select(Volume.title).join(Shelf, Shelf.id == Volume.shelf_id))), MINE),
    "outer join": (
        lambda s: sorted(s.execute(select(Shelf.id, Volume.title).outerjoin(Volume, Volume.id > 2)).all()),
        [(1, None)],
    ),
    "scalar subquery": (
        lambda s: s.scalar(select(select(func.max(Volume.title)).select_from(Volume).scalar_subquery())),
        "a2",
    ),
    "group": (
        lambda s: [tuple(r) for r in s.execute(select(Volume.owner, func.count()).group_by(Volume.owner))],
        [("acme/ann", 2)],
    ),
    "lazy relationship": (lambda s: [v.title for v in s.scalars(select(Shelf)).one().volumes], MINE),
    "joined relationship": (
        lambda s: [v.title for v in s.scalars(select(Shelf).options(joinedload(Shelf.volumes))).unique().one().volumes],
        MINE,
    ),
    "relationship in a second query": (
        lambda s: [v.title for v in s.scalars(select(Shelf).options(selectinload(Shelf.volumes))).one().volumes],
        MINE,
    ),
    "deferred column": (lambda s: s.scalars(select(Volume).options(defer(Volume.title)).limit(1)).one().title, "a1"),
    "refresh": (lambda s: _refreshed(s, s.scalars(select(Volume).order_by(Volume.id).limit(1)).one()).title, "a1"),
    "legacy query": (lambda s: sorted(v.title for v in s.query(Volume).all()), MINE),
    "legacy count": (lambda s: s.query(Volume).count(), 2),
    "stream": (lambda s: sorted(v.title for v in s.scalars(select(Volume).execution_options(yield_per=1))), MINE),
    "not a tenant's": (lambda s: s.scalar(select(func.count()).select_from(Language)), 0),
    "text that names no tenant's table": (lambda s: s.scalar(text("SELECT count(*) FROM languages")), 0),
}


@pytest.mark.parametrize("name", READS)
async def test_a_query_shows_what_is_the_callers(database: Database, name: str) -> None:
    work, expected = READS[name]
    for _again in range(2):  # the second time from SQLAlchemy's cache of compiled statements
        assert await as_ann(database, work) == expected
    with tenancy.acting_for("rival", "rival/eve"):
        theirs = await database.run(work)
    assert "a1" not in str(theirs), "from the cache, and still of the present scope"


async def test_without_an_owner_the_scope_is_the_organisation(database: Database) -> None:
    with tenancy.acting_for("acme"):
        assert sorted(await database.run(lambda s: list(s.scalars(select(Volume.title))))) == ["a1", "a2", "b1"]


WRITES: dict[str, Callable[[Session], Any]] = {
    "update": lambda s: s.execute(update(Volume).values(title="changed")),
    "update of one": lambda s: s.execute(update(Volume).where(Volume.id == 1).values(title="changed")),
    "update by a subquery": lambda s: s.execute(
        update(Volume).where(Volume.id.in_(select(OTHER.id))).values(title="changed")
    ),
    "delete": lambda s: s.execute(delete(Volume)),
    "legacy update": lambda s: s.query(Volume).update({"title": "changed"}, synchronize_session=False),
    "legacy delete": lambda s: s.query(Volume).delete(synchronize_session=False),
    "delete of rows": lambda s: _each(s, s.delete),
    "delete of what is not hers": lambda s: s.execute(delete(Volume).where(Volume.title == "e1")),
    "change of rows": lambda s: _each(s, _changed),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_changes_what_is_the_callers(database: Database, name: str) -> None:
    before = [row for row in await everything(database) if row[1] != "acme/ann"]
    await as_ann(database, WRITES[name])
    assert [row for row in await everything(database) if row[1] != "acme/ann"] == before


REFUSED: dict[str, Callable[[Session], Any]] = {
    "text": lambda s: s.execute(text("SELECT * FROM volumes")),
    "quoted text": lambda s: s.execute(text('SELECT * FROM "volumes"')),
    "text with a filter by hand": lambda s: s.execute(
        text("SELECT * FROM volumes AS v, volumes AS w WHERE v.organisation = 'acme'")
    ),
    "text for entities": lambda s: s.scalars(select(Volume).from_statement(text("SELECT * FROM volumes"))).all(),
    "text in a query": lambda s: s.execute(select(literal_column("title")).select_from(text("volumes"))),
    "text that changes": lambda s: s.execute(text("UPDATE volumes SET title = 'changed'")),
    "text that inserts": lambda s: s.execute(
        text("INSERT INTO volumes (organisation, owner, shelf_id, title) VALUES ('rival', 'rival/eve', 2, 'forged')")
    ),
    "driver": lambda s: s.connection().exec_driver_sql("DELETE FROM volumes"),
    "table": lambda s: s.execute(select(VOLUMES)),
    "table on the connection": lambda s: s.connection().execute(select(VOLUMES.c.title)),
    "update of the table": lambda s: s.execute(update(VOLUMES).values(title="changed")),
    "delete from the table": lambda s: s.execute(delete(VOLUMES)),
    "bulk insert": lambda s: s.execute(insert(Volume), [{"shelf_id": 2, "title": "forged", "owner": "rival/eve"}]),
    "insert of a select": lambda s: s.execute(
        insert(VOLUMES).from_select(["shelf_id", "title"], select(VOLUMES.c.shelf_id, VOLUMES.c.title))
    ),
    "bulk mappings": lambda s: s.bulk_insert_mappings(Volume, [{"shelf_id": 2, "title": "forged"}]),
    "new row of another": lambda s: s.add(Volume(organisation="rival", owner="rival/eve", shelf_id=2, title="forged")),
    "new row of another owner": lambda s: s.add(Volume(owner="acme/bob", shelf_id=1, title="forged")),
    "row given away": lambda s: setattr(s.scalars(select(Volume).limit(1)).one(), "owner", "acme/bob"),
    "row given to another organisation": lambda s: setattr(s.scalars(select(Shelf)).one(), "organisation", "rival"),
    "row from elsewhere": lambda s: s.merge(
        Volume(id=4, organisation="rival", owner="rival/eve", shelf_id=2, title="changed")
    ),
    "row from elsewhere, not looked up": lambda s: _changed(
        s.merge(_detached(Volume(id=4, organisation="rival", owner="rival/eve", shelf_id=2, title="e1")), load=False)
    ),
}


def _each(session: Session, change: Callable[[Volume], None]) -> None:
    for row in session.scalars(select(Volume)):
        change(row)


def _detached(row: Volume) -> Volume:
    make_transient_to_detached(row)
    return row


def _changed(row: Volume) -> None:
    row.title = "changed"


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_narrowed_is_refused(database: Database, name: str) -> None:
    before = await everything(database)
    with pytest.raises(TenancyError):
        await as_ann(database, REFUSED[name])
    assert await everything(database) == before


async def test_a_row_that_is_not_hers_is_as_if_it_were_not_there(database: Database) -> None:
    """A row with the key of another's is a new one, which the database refuses: nothing of the other's changes."""
    before = await everything(database)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await as_ann(database, lambda s: s.merge(Volume(id=4, shelf_id=1, title="changed")))
    assert await everything(database) == before


async def test_after_a_refused_insert_in_a_savepoint_nothing_is_let_through(database: Database) -> None:
    def work(session: Session) -> None:
        with pytest.raises(Exception, match=r"(?i)unique"), session.begin_nested():
            session.add(Volume(id=4, shelf_id=1, title="taken"))
            session.flush()
        session.execute(text("DELETE FROM volumes"))

    with pytest.raises(TenancyError):
        await as_ann(database, work)
    assert len(await everything(database)) == 6


async def test_outside_of_calls_nothing_is_anybodys(database: Database) -> None:
    for work in (
        lambda s: s.scalars(select(Volume)).all(),
        lambda s: s.execute(update(Volume).values(title="changed")),
        lambda s: s.add(Volume(shelf_id=1, title="nobody's")),
        lambda s: s.execute(text("SELECT * FROM volumes")),
    ):
        with pytest.raises(TenancyError):
            await database.run(work)
    assert await database.run(lambda s: s.scalar(select(func.count()).select_from(Language))) == 0
    with pytest.raises(TenancyError), database.engine.connect() as connection:
        connection.execute(select(VOLUMES))
    for name in (tenancy.organisation, lambda: tenancy.key("x"), lambda: tenancy.own("x")):
        with pytest.raises(TenancyError):
            name()


async def test_work_for_everyone_says_whose_new_rows_are(database: Database) -> None:
    with tenancy.everyone("a test"):
        with pytest.raises(TenancyError, match="must say its"):
            await database.run(lambda s: s.add(Volume(shelf_id=1, title="whose?")))
        new = {"organisation": "acme", "owner": "acme/ann", "shelf_id": 1, "title": "a3"}
        await database.run(lambda s: s.add(Volume(**new)))
        assert await database.run(lambda s: s.execute(text("SELECT count(*) FROM volumes")).scalar()) == 7
    assert await as_ann(database, lambda s: s.scalar(select(func.count()).select_from(Volume))) == 3


async def test_the_scope_is_that_of_the_call(database: Database) -> None:
    async def served(*identity: tuple[str, str]) -> list[str]:
        context.enter(Call(identity=identity))
        return sorted(await database.run(lambda s: list(s.scalars(select(Volume.title)))))

    def of(subject: str) -> tuple[tuple[str, str], ...]:
        return ((context.SUBJECT, subject),)

    async def background(*identity: tuple[str, str]) -> list[str]:
        context.enter(Call(identity=identity))
        return await asyncio.create_task(database.run(lambda s: sorted(s.scalars(select(Volume.title)))))

    calls = [served(*of(who)) for who in TITLES] + [served(), served((context.SUBJECT, "acme/bob"))]
    found = await asyncio.gather(*map(asyncio.create_task, calls))
    assert found == [*TITLES.values(), [], ["b1"]]
    assert await asyncio.create_task(background(*of("acme/bob"))) == ["b1"]


async def test_a_call_does_not_inherit_what_its_server_was_started_in(database: Database) -> None:
    async def served() -> list[str]:
        context.enter(Call(identity=((context.SUBJECT, "acme/ann"),)))
        return await database.run(lambda s: sorted(s.scalars(select(Volume.title))))

    with tenancy.everyone("a test"):
        assert await asyncio.create_task(served()) == ["a1", "a2"]


async def test_names_in_memory_are_told_apart() -> None:
    with tenancy.acting_for("acme", "acme/ann"):
        ours, mine = tenancy.key("shop"), tenancy.own("shop")
        with tenancy.acting_for("acme", "acme/bob"):
            assert tenancy.key("shop") == ours
            assert tenancy.own("shop") != mine
        with tenancy.acting_for("rival", "acme/ann"):
            assert tenancy.key("shop") != ours
            assert tenancy.own("shop") != mine
        assert (tenancy.key("shop"), tenancy.own("shop")) == (ours, mine)
