"""Builds of images take minutes in which other tests can run: they begin first, and the tests of them come last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.container_engine import Images, absent, building

HERE = Path(__file__).parent
BUILT = HERE / "test_image_build.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the tests of built images behind the others of this folder."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(HERE)]
    ordered = sorted((items[place] for place in places), key=lambda item: item.path == BUILT)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="session", autouse=True)
def images(request: pytest.FixtureRequest) -> Iterator[Images | None]:
    """The images that are being built; None where nobody asks for them, or they cannot be built here."""
    if absent() or not any(item.path == BUILT for item in request.session.items):
        yield None
        return
    with contextlib.closing(building()) as found:
        yield found
