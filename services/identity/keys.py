"""API keys: `sk-parley-<id>-<secret>`.

The id recognises a key in lists and logs. The secret is 256 random bits, so its SHA-256 is all that needs to be stored:
slow hashes protect passwords, which can be guessed; nobody guesses 2^256, and a slow hash would cost every call.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select, tuple_, update
from sqlalchemy.orm import Session

from services.identity import audit
from services.identity.caller import Caller
from services.identity.invalidation import Invalidations
from services.identity.scopes import SCOPES, scopes_of
from services.identity.tables import Base, KeyRow, UserRow, micros, moment, now
from services.identity.users import find
from services.mesh import paging
from services.mesh.database import Database
from services.mesh.errors import FailedPrecondition, InvalidArgument, NotFound, StorageUnavailable

PREFIX = "sk-parley-"
SECRET = re.compile(rf"{PREFIX}([0-9a-f]{{12}})-[A-Za-z0-9_-]{{43}}")
OVERLAP = timedelta(days=1)
ADMIN = "keys:admin"
USED_MICROS = 60_000_000
"""How exactly it is known when a key was last used."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret."""

    id: str
    user: str
    display_name: str
    scopes: tuple[str, ...]
    """Empty: all of its user's."""
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    last_used_time: datetime | None

    @property
    def prefix(self) -> str:
        """How it begins: no secret."""
        return f"{PREFIX}{self.id}-"


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add(
    session: Session,
    organisation: str,
    user: str,
    display_name: str = "",
    scopes: Sequence[str] = (),
    expire_time: int | None = None,
) -> tuple[KeyRow, str]:
    """Makes a key in this transaction; also returns its secret."""
    identifier = secrets.token_hex(6)
    secret = f"{PREFIX}{identifier}-{secrets.token_urlsafe(32)}"
    row = KeyRow(
        id=identifier,
        organisation=organisation,
        user_id=user,
        display_name=display_name,
        hash=digest(secret),
        scopes=sorted(set(scopes)),
        create_time=now(),
        expire_time=expire_time,
    )
    session.add(row)
    session.flush()
    return row, secret


def _key(row: KeyRow) -> Key:
    times = (None if time is None else moment(time) for time in (row.expire_time, row.revoke_time, row.last_used_time))
    return Key(row.id, row.user_id, row.display_name, tuple(row.scopes), moment(row.create_time), *times)


class Keys:
    """The use cases.

    Args:
        database: Where keys are kept.
        invalidations: Told of every change.
    """

    def __init__(self, database: Database, invalidations: Invalidations) -> None:
        self._database = database
        self._invalidations = invalidations
        self._used: dict[str, int] = {}
        self._noted: dict[str, int] = {}

    async def create(
        self, caller: Caller, user: str, display_name: str, scopes: Collection[str], expire_time: datetime | None
    ) -> tuple[Key, str]:
        """Makes a key.

        Args:
            caller: Who wants it.
            user: Whose it is; empty: the caller's.
            display_name: What it is for.
            scopes: What it may do; empty: all that its user may.
            expire_time: When it ends; None: never.

        Returns:
            The key and its secret, which nobody can find out later.

        Raises:
            NotFound: There is no such user.
            NotAllowed: It is another's, or can do more than the caller's own credential.
            InvalidArgument: A scope is unknown or not its user's; it has expired already.
        """
        if user and user != caller.user:
            caller.require(ADMIN)
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown:
            raise InvalidArgument("api_key.scopes", f"{unknown[0]!r} is no scope; ListRoles names them")
        if expire_time is not None and micros(expire_time) <= now():
            raise InvalidArgument("api_key.expire_time", "has passed already")

        def work(session: Session) -> tuple[Key, str]:
            owner = find(session, caller, user or caller.user)
            _check_scopes(caller, owner, scopes)
            expires = None if expire_time is None else micros(expire_time)
            row, secret = add(session, caller.organisation, owner.id, display_name, sorted(scopes), expires)
            audit.append(session, caller, "apiKeys.create", f"apiKeys/{row.id}", f"users/{owner.id}")
            return _key(row), secret

        return await self._database.run(work)

    async def get(self, caller: Caller, key_id: str) -> Key:
        """A key. Raises NotFound, also for another's without keys:admin."""
        return await self._database.run(lambda session: _key(_visible(session, caller, key_id)))

    async def page(self, caller: Caller, user: str, size: int, token: str) -> tuple[list[Key], str]:
        """A page of keys, the newest first, and the token of the next.

        Args:
            caller: Who wants it; without keys:admin the page has only the caller's own.
            user: Only this one's; empty: of all.
            size: Keys on the page.
            token: Of the page before.

        Raises:
            NotAllowed: They are another's, and the caller lacks keys:admin.
        """
        if user not in ("", caller.user):
            caller.require(ADMIN)
        size = paging.size(size)
        query = select(KeyRow).where(KeyRow.organisation == caller.organisation)
        if user or not caller.may(ADMIN):
            query = query.where(KeyRow.user_id == (user or caller.user))
        if token:
            query = query.where(tuple_(KeyRow.create_time, KeyRow.id) < paging.key(token, paging.micros, str))
        query = query.order_by(KeyRow.create_time.desc(), KeyRow.id.desc()).limit(size + 1)

        def work(session: Session) -> tuple[list[Key], str]:
            rows = session.scalars(query).all()
            more = paging.token(rows[size - 1].create_time, rows[size - 1].id) if rows[size:] else ""
            return [_key(row) for row in rows[:size]], more

        return await self._database.run(work)

    async def revoke(self, caller: Caller, key_id: str) -> Key:
        """Revokes a key: it is refused everywhere within a second. Raises NotFound."""

        def work(session: Session) -> Key:
            row = _visible(session, caller, key_id)
            if row.revoke_time is None:
                row.revoke_time = now()
                audit.append(session, caller, "apiKeys.revoke", f"apiKeys/{row.id}", f"users/{row.user_id}")
                self._invalidations.publish(session, f"{row.organisation}/{row.user_id}")
            return _key(row)

        return await self._database.run(work)

    async def rotate(self, caller: Caller, key_id: str, overlap: timedelta) -> tuple[Key, str]:
        """Makes a key in the place of another: same user, name and scopes, and a lifetime as long.

        Args:
            caller: Who wants it.
            key_id: The old key.
            overlap: How long the old one goes on.

        Raises:
            NotFound: There is no such key.
            NotAllowed: It can do more than the caller's own credential.
            FailedPrecondition: It is revoked or has expired.
        """

        def work(session: Session) -> tuple[Key, str]:
            old, at = _visible(session, caller, key_id), now()
            if old.revoke_time is not None or (old.expire_time is not None and old.expire_time <= at):
                raise FailedPrecondition(f"apiKeys/{key_id} is revoked or has expired. Create another one.")
            _check_scopes(caller, find(session, caller, old.user_id), old.scopes)
            lifetime = None if old.expire_time is None else at + old.expire_time - old.create_time
            row, secret = add(session, old.organisation, old.user_id, old.display_name, old.scopes, lifetime)
            ends = at + int(overlap.total_seconds() * 1e6)
            old.expire_time = ends if old.expire_time is None else min(ends, old.expire_time)
            audit.append(session, caller, "apiKeys.rotate", f"apiKeys/{old.id}", f"apiKeys/{row.id}")
            self._invalidations.publish(session, f"{old.organisation}/{old.user_id}")
            return _key(row), secret

        return await self._database.run(work)

    def used(self, key_id: str) -> None:
        """Notes that a key is used now; written with the next batch, once in USED_MICROS for each key."""
        at = now()
        if at - self._noted.get(key_id, 0) > USED_MICROS:
            self._noted[key_id] = self._used[key_id] = at

    async def flush(self) -> None:
        """Writes when keys were last used. Where the storage is away they wait for the next batch."""
        batch, self._used = self._used, {}
        if not batch:
            return
        oldest = now() - USED_MICROS
        self._noted = {key_id: time for key_id, time in self._noted.items() if time > oldest}
        rows = [{"key": key_id, "used": time} for key_id, time in batch.items()]
        # The table's own statement: a key that was deleted meanwhile is no error.
        table = Base.metadata.tables[KeyRow.__tablename__]
        statement = update(table).where(table.c.id == bindparam("key")).values(last_used_time=bindparam("used"))
        try:
            await self._database.run(lambda session: session.connection().execute(statement, rows))
        except StorageUnavailable:
            self._used = batch | self._used


def _visible(session: Session, caller: Caller, key_id: str) -> KeyRow:
    """A key that the caller may know of. Raises NotFound."""
    row = session.get(KeyRow, key_id)
    if row is None or row.organisation != caller.organisation or not (row.user_id == caller.user or caller.may(ADMIN)):
        raise NotFound(f"apiKeys/{key_id}")
    return row


def _check_scopes(caller: Caller, owner: UserRow, scopes: Collection[str]) -> None:
    """Raises where a key of a user with these scopes would do more than its user, or its maker's credential, may."""
    mine = scopes_of(owner.roles)
    beyond = sorted(set(scopes) - mine)
    if beyond:
        raise InvalidArgument("api_key.scopes", f"{beyond[0]!r} is not what users/{owner.id} may do")
    caller.outranks(scopes or mine)
