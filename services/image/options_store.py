"""Keeps the web UI's options beside the jobs, so that every replica knows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from services.image.store import Base
from services.mesh.context import MAX_OWNER
from services.mesh.database import Database
from services.mesh.tenancy import DEFAULT_OWNER, Owned


class OptionsRow(Owned, Base):
    """What an owner has set; `data` is a JSON object."""

    __tablename__ = "options"

    owner: Mapped[str] = mapped_column(String(MAX_OWNER), primary_key=True, server_default=DEFAULT_OWNER)
    data: Mapped[str] = mapped_column(Text)


class OptionsStore:
    """Options by owner. Every method is one transaction; each raises StorageUnavailable without storage.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def options(self, owner: str) -> dict[str, Any]:
        """What an owner has set; nothing where they never set any."""

        def read(session: Session) -> dict[str, Any]:
            return _values(session.get(OptionsRow, owner))

        return await self._database.run(read)

    async def change(self, owner: str, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Puts what `change` makes of an owner's options in their place; what it raises leaves them as they were."""

        def write(session: Session) -> None:
            row = session.get(OptionsRow, owner, with_for_update=True)
            data = json.dumps(dict(change(_values(row))))
            if row is None:
                session.add(OptionsRow(owner=owner, data=data))
            else:
                row.data = data

        try:
            await self._database.run(write)
        except IntegrityError:
            # Somebody was first with the owner's first options; they are a row now, which one waits for.
            await self._database.run(write)


def _values(row: OptionsRow | None) -> dict[str, Any]:
    return dict(json.loads(row.data)) if row is not None else {}
