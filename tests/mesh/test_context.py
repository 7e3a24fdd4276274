"""Whom things belong to."""

from __future__ import annotations

import contextvars

import pytest

from services.mesh import context
from services.mesh.context import MAX_ORGANISATION, MAX_OWNER, SUBJECT


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ([], ""),
        ([(SUBJECT, "ann")], "ann"),
        ([("x-parley-identity-roles", "admin")], ""),
        ([("x-parley-identity-roles", "admin"), (SUBJECT, "ann"), ("subject", "eve")], "ann"),
        ([(SUBJECT, "a" * MAX_OWNER)], "a" * MAX_OWNER),
    ],
)
def test_things_belong_to_the_subject_of_the_call(metadata: list[tuple[str, str | bytes]], owner: str) -> None:
    def served() -> str:
        context.enter(context.inbound("/a.B/C", metadata, None))
        return context.owner()

    assert contextvars.copy_context().run(served) == owner
    assert context.owner() == "", "outside of calls"


def test_long_subjects_stay_apart_and_fit_into_a_column() -> None:
    def served(subject: str) -> str:
        context.enter(context.inbound("/a.B/C", [(SUBJECT, subject)], None))
        return context.owner()

    owners = {contextvars.copy_context().run(served, "a" * 300 + end) for end in "xy"}
    assert len(owners) == 2
    assert max(map(len, owners)) <= MAX_OWNER


@pytest.mark.parametrize(
    ("metadata", "organisation"),
    [
        ([], ""),
        ([(SUBJECT, "acme/ann")], "acme"),
        ([(SUBJECT, "ann")], ""),
        ([("subject", "acme/ann")], ""),
    ],
)
def test_a_call_is_made_for_an_organisation(metadata: list[tuple[str, str | bytes]], organisation: str) -> None:
    def served() -> str:
        context.enter(context.inbound("/a.B/C", metadata, None))
        return context.organisation()

    assert contextvars.copy_context().run(served) == organisation


def test_long_organisations_stay_apart_and_fit_into_a_column() -> None:
    def served(organisation: str) -> str:
        context.enter(context.inbound("/a.B/C", [(SUBJECT, f"{organisation}/ann")], None))
        return context.organisation()

    organisations = {contextvars.copy_context().run(served, "a" * 100 + end) for end in "xy"}
    assert len(organisations) == 2
    assert max(map(len, organisations)) <= MAX_ORGANISATION
