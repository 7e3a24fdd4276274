"""The first start: an organisation, an administrator, and the administrator's key in a file."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from services.identity import keys, organisations, users
from services.identity.audit import Entry, append_entry
from services.identity.scopes import Role
from services.identity.tables import OrganisationRow
from services.identity.users import NewUser
from services.mesh.database import Database
from services.mesh.errors import StorageUnavailable

ADMIN = "admin"


async def prepare(database: Database, key_file: Path | None, tier: str) -> bool:
    """Makes the first organisation and user, where there are none; says whether it did.

    The key is written to a file before the transaction commits: there is never an administrator whose key is nowhere.
    Of several processes that start at once one does it.

    Args:
        database: Where they are kept.
        key_file: Where the key goes; readable by its owner only, and replaced in one step. None: makes nothing.
        tier: The organisation's tier.

    Raises:
        StorageUnavailable: It cannot be stored, or the file cannot be written.
    """
    if key_file is None:
        return False

    def work(session: Session) -> bool:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(7270002)"))
        if session.scalars(select(OrganisationRow).limit(1)).first() is not None:
            return False
        organisations.add(session, organisations.DEFAULT, "", tier)
        users.add(session, organisations.DEFAULT, NewUser(ADMIN, roles=(Role.ADMIN, Role.OPERATOR)))
        _row, secret = keys.add(session, organisations.DEFAULT, ADMIN, "first start")
        append_entry(session, Entry(organisations.DEFAULT, "", "users.create", f"users/{ADMIN}", detail="first start"))
        try:
            write_secret(key_file, secret)
        except OSError as error:
            raise StorageUnavailable(
                f"The administrator's key cannot be written to {key_file}: {error.strerror}. Nothing was made."
            ) from error
        return True

    return await database.run(work)


def write_secret(file: Path, secret: str) -> None:
    """Writes a secret to a file that only its owner may read, whole or not at all. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write(secret + "\n")
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
