"""The engine, without a server."""

from __future__ import annotations

import pytest

from triton_models.shared.diarization.engine import Diarizer


@pytest.fixture(scope="session")
def diarizer() -> Diarizer:
    """The engine."""
    return Diarizer()
