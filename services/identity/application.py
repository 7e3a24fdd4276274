"""Puts the identity service together from its settings: the process does so once, tests as often as they like."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from services.identity import (
    audit_servicer,
    ext_authz,
    first_start,
    key_servicer,
    servicer,
    token_servicer,
    usage_servicer,
)
from services.identity.access import Contracts
from services.identity.audit import AuditLog
from services.identity.cache import IdentityCache
from services.identity.callers import Callers
from services.identity.decision import Decision
from services.identity.founding import Founding
from services.identity.grants import Grants
from services.identity.identities import Identities
from services.identity.invalidation import Invalidations
from services.identity.keys import Keys
from services.identity.limits import Counters, Limits
from services.identity.logins import Logins
from services.identity.oidc import OpenId
from services.identity.organisations import Organisations
from services.identity.passwords import Passwords
from services.identity.sessions import Sessions
from services.identity.settings import IdentitySettings
from services.identity.signing import SigningKeys
from services.identity.tables import MIGRATIONS
from services.identity.tokens import Tokens
from services.identity.usage import Usage
from services.identity.users import Users
from services.mesh import telemetry
from services.mesh.database import Database
from services.mesh.errors import ParleyError
from services.mesh.sealing import Seal

log = telemetry.get_logger(__name__)

HOUR = 3600.0


class Application:
    """The parts of an identity service.

    Args:
        settings: What it is made from.

    Raises:
        ValueError: A limit cannot be read.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self.database = database = Database(settings.database_url.get_secret_value(), MIGRATIONS)
        seal = Seal(settings.encryption_key.get_secret_value())
        self.cache = IdentityCache(settings.cache_seconds, settings.cache_entries, lambda: self.invalidations.trusted())
        self.invalidations = Invalidations(database.engine, self.cache.drop)
        changes, tiers, passwords = self.invalidations, frozenset(settings.tiers), Passwords()
        self._limits = Limits(settings.tiers, settings.default_tier, Counters(settings.redis_url.get_secret_value()))
        self._audit = AuditLog(database)
        self._keys = Keys(database, changes)
        self._sessions = Sessions(database, changes, settings.refresh_seconds, settings.session_seconds)
        self._signing = SigningKeys(
            database, seal, settings.token_algorithm, settings.signing_key_seconds, settings.token_seconds
        )
        tokens = Tokens(self._signing, settings.issuer, settings.token_seconds)
        open_id = OpenId(database, seal, [provider.provider() for provider in settings.oidc_providers])
        logins = Logins(
            database,
            passwords,
            self._sessions,
            tokens,
            self._limits,
            settings.login_limit,
            open_id,
            self._audit,
            changes,
        )
        identities = Identities(database, self.cache)
        issuers = {provider.issuer: provider.organisation for provider in settings.oidc_providers}
        self.decision = Decision(
            identities,
            tokens,
            self._keys,
            self._limits,
            self._audit,
            Contracts(),
            issuers,
            settings.decision_seconds,
        )
        callers = Callers(self.decision)
        self.bound = [
            servicer.bound(
                callers,
                Users(database, changes, passwords, tiers),
                Organisations(database, changes, tiers),
                Founding(database, tiers),
                Grants(database, changes),
            ),
            key_servicer.bound(callers, self._keys),
            token_servicer.bound(callers, logins, open_id, self._signing),
            audit_servicer.bound(callers, self._audit),
            usage_servicer.bound(callers, Usage(database, self._limits)),
            ext_authz.bound(self.decision),
        ]
        self.dependencies: dict[str, Callable[[], Awaitable[None]]] = {"database": database.ping}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Brings the database up to date, makes what a first start needs, and begins to listen and to write.

        Raises:
            StorageUnavailable: The storage cannot be reached or written.
            FailedPrecondition: The signing keys were sealed under another encryption key.
        """
        await self.database.migrate()
        settings = self._settings
        if await first_start.prepare(self.database, settings.admin_key_file, settings.first_tier):
            log.info("made the first administrator", key_file=str(settings.admin_key_file))
        await self._signing.maintain()
        self.invalidations.start()
        self._tasks = [
            asyncio.create_task(_every(settings.batch_seconds, self._flush)),
            asyncio.create_task(_every(min(HOUR, settings.signing_key_seconds / 10), self._tidy)),
        ]

    async def _flush(self) -> None:
        """Writes what waits to be written."""
        await self._audit.flush()
        await self._keys.flush()

    async def _tidy(self) -> None:
        """Rotates signing keys when it is time, and deletes what has ended."""
        await self._signing.maintain()
        await self._sessions.sweep()

    async def close(self) -> None:
        """Writes what waits, and closes what is open."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._flush()
        await self.invalidations.close()
        await self._limits.close()
        await self.database.close()


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does something again and again; a failure is logged and tried again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except ParleyError as error:
            log.warning("will be tried again", work=work.__name__, error=error.message)
        except Exception as error:
            log.error("unexpected error", work=work.__name__, exc_info=error)
