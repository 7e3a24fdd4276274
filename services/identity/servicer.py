"""parley.identity.v1.IdentityService: users, organisations, roles, grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf import field_mask_pb2

from parley.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity import converters
from services.identity.callers import Callers, Context
from services.identity.founding import Founding
from services.identity.grants import Grants
from services.identity.organisations import Organisations
from services.identity.scopes import ROLES, SCOPES
from services.identity.users import NewUser, Users
from services.mesh.errors import InvalidArgument
from services.mesh.server import Bound

USER_FIELDS = ("display_name", "email", "roles", "tier", "disabled")
ORGANISATION_FIELDS = ("display_name", "tier", "restrict_databases", "restrict_models", "disabled")


class IdentityServicer(identity_pb2_grpc.IdentityServiceServicer):
    """Users, organisations, roles and grants over gRPC.

    Args:
        callers: Who calls.
        users: Use cases of users.
        organisations: Use cases of organisations.
        founding: Adds organisations.
        grants: Use cases of grants.
    """

    def __init__(
        self, callers: Callers, users: Users, organisations: Organisations, founding: Founding, grants: Grants
    ) -> None:
        self._callers = callers
        self._users = users
        self._organisations = organisations
        self._founding = founding
        self._grants = grants

    async def CreateUser(
        self, request: identity_pb2.CreateUserRequest, context: Context
    ) -> identity_pb2.CreateUserResponse:
        """Adds a user."""
        caller = await self._callers.of(context)
        wanted = NewUser(
            request.user_id,
            converters.from_kind(request.user.kind),
            request.user.display_name,
            request.user.email,
            converters.from_roles(request.user.roles),
            request.user.tier,
        )
        made = await self._users.create(caller, wanted, request.password)
        return identity_pb2.CreateUserResponse(user=converters.user(made))

    async def GetUser(self, request: identity_pb2.GetUserRequest, context: Context) -> identity_pb2.GetUserResponse:
        """Gets a user."""
        caller = await self._callers.of(context)
        found = await self._users.get(caller, converters.identifier(request.name))
        return identity_pb2.GetUserResponse(user=converters.user(found))

    async def ListUsers(
        self, request: identity_pb2.ListUsersRequest, context: Context
    ) -> identity_pb2.ListUsersResponse:
        """Lists users."""
        caller = await self._callers.of(context)
        page, token = await self._users.page(caller, request.page_size, request.page_token)
        return identity_pb2.ListUsersResponse(users=map(converters.user, page), next_page_token=token)

    async def UpdateUser(
        self, request: identity_pb2.UpdateUserRequest, context: Context
    ) -> identity_pb2.UpdateUserResponse:
        """Changes a user."""
        caller = await self._callers.of(context)
        changes = _changes("user", request.user, request.update_mask, USER_FIELDS)
        if "roles" in changes:
            changes["roles"] = converters.from_roles(changes["roles"])
        changed = await self._users.update(caller, _identifier("user", "users", request.user.name), changes)
        return identity_pb2.UpdateUserResponse(user=converters.user(changed))

    async def DeleteUser(
        self, request: identity_pb2.DeleteUserRequest, context: Context
    ) -> identity_pb2.DeleteUserResponse:
        """Deletes a user."""
        await self._users.delete(await self._callers.of(context), converters.identifier(request.name))
        return identity_pb2.DeleteUserResponse()

    async def SetPassword(
        self, request: identity_pb2.SetPasswordRequest, context: Context
    ) -> identity_pb2.SetPasswordResponse:
        """Sets a password."""
        caller, user = await self._callers.of(context), converters.identifier(request.name)
        await self._users.set_password(caller, user, request.current_password, request.new_password)
        return identity_pb2.SetPasswordResponse()

    async def CreateOrganisation(
        self, request: identity_pb2.CreateOrganisationRequest, context: Context
    ) -> identity_pb2.CreateOrganisationResponse:
        """Adds an organisation."""
        caller = await self._callers.of(context)
        wanted = request.organisation
        founded = await self._founding.found(
            caller, request.organisation_id, wanted.display_name, wanted.tier, request.admin_id
        )
        return identity_pb2.CreateOrganisationResponse(
            organisation=converters.organisation(founded.organisation),
            admin=converters.user(founded.admin),
            secret=founded.secret,
        )

    async def GetOrganisation(
        self, request: identity_pb2.GetOrganisationRequest, context: Context
    ) -> identity_pb2.GetOrganisationResponse:
        """Gets an organisation."""
        caller = await self._callers.of(context)
        found = await self._organisations.get(caller, converters.identifier(request.name))
        return identity_pb2.GetOrganisationResponse(organisation=converters.organisation(found))

    async def ListOrganisations(
        self, request: identity_pb2.ListOrganisationsRequest, context: Context
    ) -> identity_pb2.ListOrganisationsResponse:
        """Lists organisations."""
        caller = await self._callers.of(context)
        page, token = await self._organisations.page(caller, request.page_size, request.page_token)
        return identity_pb2.ListOrganisationsResponse(
            organisations=map(converters.organisation, page), next_page_token=token
        )

    async def UpdateOrganisation(
        self, request: identity_pb2.UpdateOrganisationRequest, context: Context
    ) -> identity_pb2.UpdateOrganisationResponse:
        """Changes an organisation."""
        caller = await self._callers.of(context)
        changes = _changes("organisation", request.organisation, request.update_mask, ORGANISATION_FIELDS)
        identifier = _identifier("organisation", "organisations", request.organisation.name)
        changed = await self._organisations.update(caller, identifier, changes)
        return identity_pb2.UpdateOrganisationResponse(organisation=converters.organisation(changed))

    async def ListRoles(
        self, request: identity_pb2.ListRolesRequest, context: Context
    ) -> identity_pb2.ListRolesResponse:
        """Lists roles and scopes."""
        await self._callers.of(context)
        response = identity_pb2.ListRolesResponse()
        for role, scopes in ROLES.items():
            response.roles.add(role=converters.ROLES[role], scopes=sorted(scopes))
        for name, description in SCOPES.items():
            response.scopes.add(name=name, description=description)
        return response

    async def CreateGrant(
        self, request: identity_pb2.CreateGrantRequest, context: Context
    ) -> identity_pb2.CreateGrantResponse:
        """Makes a grant."""
        made = await self._grants.create(await self._callers.of(context), converters.from_grant(request.grant))
        return identity_pb2.CreateGrantResponse(grant=converters.grant(made))

    async def ListGrants(
        self, request: identity_pb2.ListGrantsRequest, context: Context
    ) -> identity_pb2.ListGrantsResponse:
        """Lists grants."""
        caller = await self._callers.of(context)
        page, token = await self._grants.page(caller, request.page_size, request.page_token)
        return identity_pb2.ListGrantsResponse(grants=map(converters.grant, page), next_page_token=token)

    async def DeleteGrant(
        self, request: identity_pb2.DeleteGrantRequest, context: Context
    ) -> identity_pb2.DeleteGrantResponse:
        """Takes a grant back."""
        await self._grants.delete(await self._callers.of(context), converters.identifier(request.name))
        return identity_pb2.DeleteGrantResponse()


def bound(callers: Callers, users: Users, organisations: Organisations, founding: Founding, grants: Grants) -> Bound:
    """The servicer, ready to be served."""
    return Bound(
        identity_pb2_grpc.add_IdentityServiceServicer_to_server,
        IdentityServicer(callers, users, organisations, founding, grants),
        identity_pb2.DESCRIPTOR.services_by_name["IdentityService"],
    )


def _identifier(field: str, collection: str, name: str) -> str:
    """`users/lan` → `lan`. Raises InvalidArgument for what is no such name."""
    prefix, _, identifier = name.partition("/")
    if prefix != collection or not identifier or "/" in identifier:
        raise InvalidArgument(f"{field}.name", f"must be {collection}/{{{field}}}")
    return identifier


def _changes(field: str, wanted: Any, mask: field_mask_pb2.FieldMask, changeable: Sequence[str]) -> dict[str, Any]:
    """The fields to change: those of the mask, all for `*` (https://google.aip.dev/134), or else all that are set."""
    names = list(mask.paths) or [name for name in changeable if getattr(wanted, name)]
    names = list(changeable) if names == ["*"] else names
    for name in names:
        if name not in changeable:
            raise InvalidArgument("update_mask", f"{name!r} cannot be changed; {', '.join(changeable)} can.")
    if not names:
        raise InvalidArgument("update_mask", f"names nothing to change in {field}: one of {', '.join(changeable)}.")
    return {name: getattr(wanted, name) for name in names}
