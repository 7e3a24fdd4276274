"""Runs the sql service: `python -m services.sql`; `--help` prints the settings."""

from __future__ import annotations

from pathlib import Path

from parley.sql.v1 import sql_pb2, sql_pb2_grpc
from services.mesh import server
from services.mesh.database import Database
from services.mesh.server import Bound
from services.mesh.settings import load
from services.sql.databases import Databases
from services.sql.embedded import EmbeddedEngine
from services.sql.execute import Slots
from services.sql.llm import LlmEngine
from services.sql.query import SqlEngine
from services.sql.questions import Limits, Questions
from services.sql.servicer import SqlServicer
from services.sql.settings import SqlSettings
from services.sql.store import Secrets, Store

MIGRATIONS = Path(__file__).parent / "migrations"


def engines(settings: SqlSettings) -> dict[str, SqlEngine]:
    """The engines by name: the embedded one, and a language model where one is configured."""
    found: dict[str, SqlEngine] = {"embedded": EmbeddedEngine()}
    if settings.llm_base_url:
        key = settings.llm_api_key.get_secret_value()
        found[settings.llm_model] = LlmEngine(settings.llm_base_url, key, settings.llm_model, settings.llm_timeout)
    return found


def compose(settings: SqlSettings, database: Database) -> Bound:
    """The servicer with its parts."""
    store = Store(database, Secrets(settings.encryption_key.get_secret_value()))
    databases = Databases(store, settings.sqlite_root)
    limits = Limits(
        settings.max_rows, settings.max_rows_limit, settings.timeout_seconds, settings.timeout_limit_seconds
    )
    questions = Questions(databases, engines(settings), settings.engine, limits, Slots(settings.max_queries))
    servicer = SqlServicer(databases, questions)
    return Bound(
        sql_pb2_grpc.add_SqlServiceServicer_to_server, servicer, sql_pb2.DESCRIPTOR.services_by_name["SqlService"]
    )


async def main() -> None:
    """Serves until it is told to stop."""
    settings = load(SqlSettings)
    database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
    await database.migrate()
    await server.serve(
        settings, [compose(settings, database)], dependencies={"storage": database.ping}, on_stop=[database.close]
    )


if __name__ == "__main__":
    server.run(main())
