"""Who may call which method: every RPC of the mesh says it, and its REST path leads to the same answer."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool

from services.identity.access import HTTP, VARIABLE, Contracts, bindings
from services.identity.scopes import ADMINISTRATORS, ROLES, SCOPES, Role

CONTRACTS = Contracts()


@pytest.mark.parametrize("method", sorted(access.method for access in CONTRACTS.methods.values()))
def test_every_method_says_who_may_call_it(method: str) -> None:
    access = CONTRACTS.methods[f"/{method}"]
    said = [bool(access.scope), access.public, access.authenticated, access.internal]
    assert sum(said) == 1, f"{method} needs the option parley.options.v1.access, with one rule"
    assert not access.scope or access.scope in SCOPES, f"scopes.py does not have {access.scope}"


def rest_paths() -> list[tuple[str, str, str]]:
    """Method, verb and a path for every REST rule."""
    found = []
    for path, access in CONTRACTS.methods.items():
        service, _, name = path[1:].partition("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        for verb, template in bindings(method.GetOptions().Extensions[HTTP]):
            filled = VARIABLE.sub(lambda match: match[1] or "*", template)
            found.append((access.method, verb, filled.replace("**", "a/b").replace("*", "an-id")))
    return found


@pytest.mark.parametrize(("method", "verb", "path"), rest_paths(), ids=lambda value: value)
def test_a_rest_path_leads_to_its_own_method(method: str, verb: str, path: str) -> None:
    access = CONTRACTS.find(verb, path)
    assert access is not None
    assert access.method == method
    assert CONTRACTS.find(verb, f"{path}/") is None or path.endswith("a/b"), "a slash more is another path"


def test_each_role_may_do_what_the_weaker_ones_may() -> None:
    viewer, member, admin, operator = (ROLES[role] for role in Role)
    assert viewer < member < admin < operator == frozenset(SCOPES)
    assert set(ROLES) > ADMINISTRATORS
