"""Users, roles and organisations: who may change what, and what nobody may."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from parley.identity.v1 import identity_pb2, keys_pb2
from services.mesh.errors import StorageUnavailable
from tests.identity.conftest import PASSWORD, Identity, Start, bearer, refused

MEMBER, ADMIN, OPERATOR = identity_pb2.ROLE_MEMBER, identity_pb2.ROLE_ADMIN, identity_pb2.ROLE_OPERATOR


async def test_the_first_start_makes_an_administrator_whose_key_only_its_owner_reads(
    starting: Start, database_url: str, tmp_path: Path
) -> None:
    first = await starting(database_url)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    answer = await first.identity.GetUser(identity_pb2.GetUserRequest(name="users/me"), metadata=first.admin)
    assert answer.user.name == "users/admin"
    assert list(answer.user.roles) == [ADMIN, OPERATOR]
    assert answer.user.organisation == "organisations/default"
    second = await starting(database_url)
    assert second.key == first.key, "a second start makes no second administrator"


async def test_a_first_key_that_cannot_be_written_makes_no_administrator(starting: Start, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    url = f"sqlite:///{tmp_path}/identity.db"
    with pytest.raises(StorageUnavailable, match="cannot be written"):
        await starting(url, admin_key_file=blocked / "key")
    started = await starting(url)
    assert await started.identity.ListUsers(identity_pb2.ListUsersRequest(), metadata=started.admin)


async def test_a_user_is_added_changed_and_deleted(stored: Identity) -> None:
    made = await stored.user("lan", display_name="Lan", email="lan@example.com")
    assert (made.name, made.display_name, list(made.roles)) == ("users/lan", "Lan", [MEMBER])
    assert "chat" in made.scopes
    assert "users:admin" not in made.scopes
    changed = await stored.identity.UpdateUser(
        identity_pb2.UpdateUserRequest(
            user=identity_pb2.User(name="users/lan", display_name="Lan N."),
            update_mask=field_mask_pb2.FieldMask(paths=["display_name", "email"]),
        ),
        metadata=stored.admin,
    )
    assert (changed.user.display_name, changed.user.email) == ("Lan N.", "")
    listed = await stored.identity.ListUsers(identity_pb2.ListUsersRequest(page_size=1), metadata=stored.admin)
    rest = await stored.identity.ListUsers(
        identity_pb2.ListUsersRequest(page_token=listed.next_page_token), metadata=stored.admin
    )
    assert [u.name for u in (*listed.users, *rest.users)] == ["users/admin", "users/lan"]
    _name, secret = await stored.key_of("lan")
    await stored.identity.DeleteUser(identity_pb2.DeleteUserRequest(name="users/lan"), metadata=stored.admin)
    error = await refused(stored.identity.ListRoles(identity_pb2.ListRolesRequest(), metadata=bearer(secret)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED, "keys go with their user"
    error = await refused(stored.identity.GetUser(identity_pb2.GetUserRequest(name="users/lan"), metadata=stored.admin))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    error = await refused(stored.user("lan"))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION, "nobody else gets what the first one left"


async def test_what_is_wrong_with_a_new_user_is_said(service: Identity) -> None:
    async def code(user_id: str, password: str = "", **user: Any) -> grpc.StatusCode:
        request = identity_pb2.CreateUserRequest(
            user=identity_pb2.User(**user),
            user_id=user_id,
            password=password,
        )
        return (await refused(service.identity.CreateUser(request, metadata=service.admin))).code()

    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert await code("Lan Nguyen") is invalid
    assert await code("me") is invalid
    assert await code("lan", password="short") is invalid
    assert await code("bot", PASSWORD, kind=identity_pb2.USER_KIND_SERVICE_ACCOUNT) is invalid
    assert await code("lan", tier="platinum") is invalid
    assert await code("admin") is grpc.StatusCode.ALREADY_EXISTS


async def test_nobody_hands_on_more_than_they_have(service: Identity) -> None:
    await service.user("chief", ADMIN)
    _name, chief = await service.key_of("chief")
    create = identity_pb2.CreateUserRequest(user=identity_pb2.User(roles=[OPERATOR]), user_id="x")
    assert (await refused(service.identity.CreateUser(create, metadata=bearer(chief)))).code() is DENIED
    promote = identity_pb2.UpdateUserRequest(user=identity_pb2.User(name="users/chief", roles=[OPERATOR]))
    assert (await refused(service.identity.UpdateUser(promote, metadata=bearer(chief)))).code() is DENIED
    for request in (
        identity_pb2.UpdateUserRequest(user=identity_pb2.User(name="users/admin", disabled=True)),
        identity_pb2.UpdateUserRequest(user=identity_pb2.User(name="users/admin", display_name="me now")),
    ):
        assert (await refused(service.identity.UpdateUser(request, metadata=bearer(chief)))).code() is DENIED
    password = identity_pb2.SetPasswordRequest(name="users/admin", new_password=PASSWORD)
    assert (await refused(service.identity.SetPassword(password, metadata=bearer(chief)))).code() is DENIED
    delete = identity_pb2.DeleteUserRequest(name="users/admin")
    assert (await refused(service.identity.DeleteUser(delete, metadata=bearer(chief)))).code() is DENIED
    key = keys_pb2.CreateApiKeyRequest(api_key=keys_pb2.ApiKey(user="users/admin"))
    assert (await refused(service.keys.CreateApiKey(key, metadata=bearer(chief)))).code() is DENIED


DENIED = grpc.StatusCode.PERMISSION_DENIED


async def test_a_key_with_few_scopes_cannot_make_itself_a_better_one(service: Identity) -> None:
    _name, narrow = await service.key_of("admin", "keys", "users:admin")
    better = keys_pb2.CreateApiKeyRequest(api_key=keys_pb2.ApiKey())
    assert (await refused(service.keys.CreateApiKey(better, metadata=bearer(narrow)))).code() is DENIED
    member = identity_pb2.CreateUserRequest(user=identity_pb2.User(roles=[MEMBER]), user_id="mule")
    assert (await refused(service.identity.CreateUser(member, metadata=bearer(narrow)))).code() is DENIED
    password = identity_pb2.SetPasswordRequest(name="users/me", new_password=PASSWORD)
    assert (await refused(service.identity.SetPassword(password, metadata=bearer(narrow)))).code() is DENIED
    equal = keys_pb2.CreateApiKeyRequest(api_key=keys_pb2.ApiKey(scopes=["keys"]))
    assert (await service.keys.CreateApiKey(equal, metadata=bearer(narrow))).secret


async def test_nobody_locks_themselves_out(service: Identity) -> None:
    for user in (
        identity_pb2.User(name="users/admin", disabled=True),
        identity_pb2.User(name="users/admin", roles=[MEMBER]),
    ):
        error = await refused(
            service.identity.UpdateUser(identity_pb2.UpdateUserRequest(user=user), metadata=service.admin)
        )
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    own = identity_pb2.Organisation(name="organisations/default", disabled=True)
    request = identity_pb2.UpdateOrganisationRequest(organisation=own)
    error = await refused(service.identity.UpdateOrganisation(request, metadata=service.admin))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_disabled_user_is_out_and_in_again(stored: Identity) -> None:
    await stored.user("lan")
    _name, secret = await stored.key_of("lan")
    roles = identity_pb2.ListRolesRequest()
    assert await stored.identity.ListRoles(roles, metadata=bearer(secret))

    async def disable(disabled: bool) -> None:
        request = identity_pb2.UpdateUserRequest(
            user=identity_pb2.User(name="users/lan", disabled=disabled),
            update_mask=field_mask_pb2.FieldMask(paths=["disabled"]),
        )
        await stored.identity.UpdateUser(request, metadata=stored.admin)

    await disable(True)
    error = await refused(stored.identity.ListRoles(roles, metadata=bearer(secret)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    await disable(False)
    assert await stored.identity.ListRoles(roles, metadata=bearer(secret))


async def test_a_role_counts_from_the_moment_it_is_given(service: Identity) -> None:
    await service.user("lan")
    _name, secret = await service.key_of("lan")
    listing = identity_pb2.ListUsersRequest()
    error = await refused(service.identity.ListUsers(listing, metadata=bearer(secret)))
    assert (error.code(), "users:admin" in (error.details() or "")) == (DENIED, True)
    promoted = identity_pb2.UpdateUserRequest(user=identity_pb2.User(name="users/lan", roles=[ADMIN]))
    await service.identity.UpdateUser(promoted, metadata=service.admin)
    assert (await service.identity.ListUsers(listing, metadata=bearer(secret))).users


async def test_ones_own_password_needs_the_current_one(service: Identity) -> None:
    await service.user("lan")
    _name, secret = await service.key_of("lan")
    wrong = identity_pb2.SetPasswordRequest(name="users/me", new_password="something new and long")
    error = await refused(service.identity.SetPassword(wrong, metadata=bearer(secret)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    wrong.current_password = PASSWORD
    await service.identity.SetPassword(wrong, metadata=bearer(secret))


async def test_an_operator_founds_organisations_and_an_administrator_does_not(service: Identity) -> None:
    boss = await service.tenant("acme")
    answer = await service.identity.GetUser(identity_pb2.GetUserRequest(name="users/me"), metadata=boss)
    assert (answer.user.name, answer.user.organisation) == ("users/boss", "organisations/acme")
    again = identity_pb2.CreateOrganisationRequest(
        organisation=identity_pb2.Organisation(), organisation_id="acme", admin_id="boss"
    )
    error = await refused(service.identity.CreateOrganisation(again, metadata=service.admin))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    assert (await refused(service.identity.CreateOrganisation(again, metadata=boss))).code() is DENIED
    assert (
        await refused(service.identity.ListOrganisations(identity_pb2.ListOrganisationsRequest(), metadata=boss))
    ).code() is DENIED
    listed = await service.identity.ListOrganisations(identity_pb2.ListOrganisationsRequest(), metadata=service.admin)
    assert [o.name for o in listed.organisations] == ["organisations/acme", "organisations/default"]
    tier = identity_pb2.UpdateOrganisationRequest(
        organisation=identity_pb2.Organisation(name="organisations/acme", tier="enterprise")
    )
    assert (await refused(service.identity.UpdateOrganisation(tier, metadata=boss))).code() is DENIED
    assert (await service.identity.UpdateOrganisation(tier, metadata=service.admin)).organisation.tier == "enterprise"


async def test_a_disabled_organisation_is_out_as_a_whole(service: Identity) -> None:
    boss = await service.tenant("acme")
    roles = identity_pb2.ListRolesRequest()
    assert await service.identity.ListRoles(roles, metadata=boss)
    closed = identity_pb2.Organisation(name="organisations/acme", disabled=True)
    await service.identity.UpdateOrganisation(
        identity_pb2.UpdateOrganisationRequest(organisation=closed), metadata=service.admin
    )
    error = await refused(service.identity.ListRoles(roles, metadata=boss))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
