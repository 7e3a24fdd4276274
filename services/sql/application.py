"""Puts the sql service together from its settings."""

from __future__ import annotations

from pathlib import Path

from services.mesh.database import Database
from services.mesh.providers import Providers
from services.mesh.server import Bound
from services.sql import embedded, servicer
from services.sql.databases import Databases
from services.sql.execute import Slots
from services.sql.llm import LlmEngine
from services.sql.query import SqlEngine
from services.sql.questions import Limits, Questions
from services.sql.settings import SqlSettings
from services.sql.store import Secrets, Store

MIGRATIONS = Path(__file__).parent / "migrations"


def engines(providers: Providers) -> dict[str, SqlEngine]:
    """The engines by name: the models of the providers, and the embedded one."""
    models: dict[str, SqlEngine] = {model: LlmEngine(providers, model) for model in providers.offers()}
    return {**models, embedded.NAME: embedded.EmbeddedEngine()}


def compose(settings: SqlSettings, database: Database, providers: Providers) -> Bound:
    """The servicer with its parts."""
    store = Store(database, Secrets(settings.encryption_key.get_secret_value()))
    databases = Databases(store, settings.sqlite_root)
    limits = Limits(
        settings.max_rows, settings.max_rows_limit, settings.timeout_seconds, settings.timeout_limit_seconds
    )
    questions = Questions(databases, engines(providers), settings.engine, limits, Slots(settings.max_queries))
    return servicer.bound(databases, questions)
