"""A store of identity's with very many API keys, for benches."""

from __future__ import annotations

import secrets

from sqlalchemy import insert

from services.identity.application import Application
from services.identity.keys import PREFIX, digest
from services.identity.settings import IdentitySettings
from services.identity.tables import KeyRow, now


async def fill(application: Application, keys: int) -> list[str]:
    """Gives the first user so many keys more: their secrets."""
    made = [f"{PREFIX}{secrets.token_hex(6)}-{secrets.token_urlsafe(32)}" for _ in range(keys)]
    rows = [
        {
            "id": secret[len(PREFIX) :][:12],
            "organisation": "default",
            "user_id": "admin",
            "display_name": "",
            "hash": digest(secret),
            "scopes": [],
            "create_time": now(),
        }
        for secret in made
    ]
    await application.database.run(lambda session: session.execute(insert(KeyRow), rows))
    return made


async def prepare(settings: IdentitySettings, keys: int) -> list[str]:
    """Makes the store that these settings name, with its first user and so many keys: their secrets."""
    application = Application(settings)
    await application.start()
    try:
        return await fill(application, keys)
    finally:
        await application.close()
