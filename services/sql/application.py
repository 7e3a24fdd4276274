"""Puts the sql service together from its settings."""

from __future__ import annotations

from pathlib import Path

from services.mesh.database import Database, driver_url
from services.mesh.hosts import place
from services.mesh.providers import Providers
from services.mesh.sealing import Seal
from services.mesh.server import Bound
from services.sql import knowledge_servicer, servicer
from services.sql.advice.explain import Explainer
from services.sql.asking.policy import Policy
from services.sql.asking.questions import Limits, Questions
from services.sql.asking.suggestions import Suggestions
from services.sql.databases import Databases, Folders
from services.sql.engine import embedded
from services.sql.execution.execute import Slots
from services.sql.execution.pool import Pools
from services.sql.execution.trials import Trials
from services.sql.hosts import Hosts
from services.sql.knowledge.feedback import Feedback
from services.sql.knowledge.history import History
from services.sql.knowledge.history_store import HistoryStore
from services.sql.knowledge.knowledge import Knowledge
from services.sql.knowledge.knowledge_store import KnowledgeStore
from services.sql.knowledge.memory import Memory
from services.sql.linking.schema_indexes import SchemaIndexes
from services.sql.llm.llm import LlmEngine
from services.sql.query import SqlEngine
from services.sql.semantics import Semantics
from services.sql.settings import SqlSettings
from services.sql.store import Store
from services.sql.uploads.uploads import Uploads

MIGRATIONS = Path(__file__).parent / "migrations"


def engines(settings: SqlSettings, providers: Providers, indexes: SchemaIndexes) -> dict[str, SqlEngine]:
    """The engines by name: the models of the providers, and the embedded one."""
    models: dict[str, SqlEngine] = {
        model: LlmEngine(providers, model, indexes, settings.prompt_tokens, settings.repairs)
        for model in providers.offers()
    }
    return {**models, embedded.NAME: embedded.EmbeddedEngine(indexes=indexes)}


def policy(settings: SqlSettings) -> Policy:
    """When to answer, and how long to think."""
    return Policy(
        clear=settings.clear_confidence,
        enough=settings.answer_confidence,
        repairs=settings.repairs,
        candidates=settings.candidates,
        most_candidates=32,
        thinking_tokens=settings.thinking_tokens,
        thinking_seconds=settings.thinking_seconds,
    )


def storage(settings: SqlSettings, database: Database) -> Store:
    """Where registered databases are kept."""
    return Store(database, Seal(settings.encryption_key.get_secret_value()))


def connections(settings: SqlSettings) -> Pools:
    """Connections to users' databases; close them at the end."""
    return Pools(settings.max_connections, settings.idle_seconds, hosts(settings))


def hosts(settings: SqlSettings) -> Hosts:
    """Where databases may be: not where this service has its own, nor at the services that it calls."""
    url = driver_url(settings.database_url.get_secret_value())
    # Several, and folders of sockets, may also stand among the parameters.
    named = [str(url.host or ""), *url.normalized_query.get("host", ())]
    own = [place(host, url.port or 5432) for one in named for host in one.split(",") if host and "/" not in host]
    if settings.identity_target:
        own.append(settings.identity_target.rpartition("@")[2])
    return Hosts(settings.hosts, (*settings.closed_hosts, *own))


def compose(settings: SqlSettings, database: Database, providers: Providers, pools: Pools | None = None) -> list[Bound]:
    """The servicers with their parts."""
    store = storage(settings, database)
    pools = pools or connections(settings)
    databases = Databases(store, Folders(settings.sqlite_root, settings.upload_root), pools, settings.check_seconds)
    limits = Limits(
        settings.max_rows, settings.max_rows_limit, settings.timeout_seconds, settings.timeout_limit_seconds
    )
    slots = Slots(settings.max_queries, pools)
    explainer = Explainer(pools, settings.cost_ceiling, settings.max_rows, settings.timeout_seconds)
    learnt = KnowledgeStore(database)
    knowledge = Knowledge(learnt)
    history = History(HistoryStore(database), settings.history_days)
    memory = Memory(knowledge, history, frozenset({embedded.NAME}))
    indexes = SchemaIndexes()
    trials = Trials(pools, slots, settings.probe_seconds, settings.timeout_seconds)
    questions = Questions(
        databases,
        engines(settings, providers, indexes),
        settings.engine,
        limits,
        slots,
        explainer,
        memory,
        trials,
        policy(settings),
    )
    uploads = Uploads(databases, settings.upload_root, settings.upload_bytes, settings.upload_rows)
    feedback = Feedback(databases, learnt, knowledge, history, slots)
    suggestions = Suggestions(databases, embedded.EmbeddedEngine(indexes=indexes), slots)
    return [
        servicer.bound(databases, questions, uploads),
        knowledge_servicer.bound(feedback, history, suggestions, databases, Semantics(databases, slots)),
    ]
