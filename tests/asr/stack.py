"""A real asr service on a real Triton for tests."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.asr.application import Application
from services.asr.settings import AsrSettings
from services.mesh import server
from tests.conftest import ROOT
from tests.real_triton import RealTriton as RealTriton

SPEECH = ROOT.parent / "shared" / "data" / "speech"


@asynccontextmanager
async def serve_asr(triton: RealTriton, **settings: object) -> AsyncIterator[str]:
    """Serves asr on a Triton, with storage of its own unless the settings say where; yields host:port."""
    with tempfile.TemporaryDirectory(prefix="parley-asr-") as folder:
        stored = {"database_url": f"sqlite:///{folder}/asr.db", "recordings_url": f"{folder}/recordings"}
        chosen = AsrSettings(triton_target=triton.target, drain_seconds=1, **(stored | settings))  # type: ignore[arg-type]  # by name
        application = Application(chosen)
        await application.start()
        try:
            async with server.running(chosen, application.bound) as address:
                yield address
        finally:
            await application.close()
