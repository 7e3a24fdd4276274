"""`parley users`: people and service accounts of your organisation."""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer

from cli import output
from cli.conversations import confirmed
from cli.errors import UsageError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json, resource
from cli.output import JsonOption

app = typer.Typer(no_args_is_help=True, help="Users of your organisation.")

Name = Annotated[str, typer.Argument(metavar="USER", help="The user's id; `me` is you.")]


class Role(enum.StrEnum):
    """What a user may do."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OPERATOR = "operator"


RoleOption = Annotated[
    list[Role] | None, typer.Option("--role", help="What they may do; may be repeated.", case_sensitive=False)
]


@app.command("list")
def list_(gateway: GatewayOption = DEFAULT, as_json: JsonOption = False) -> None:
    """List users."""
    with Gateway(gateway) as client:
        found = client.pages("/api/v1/users", "users")
    if as_json:
        output.document({"users": found})
    else:
        output.listing(("user", "name", "roles", "state"), map(_row, found), "No users.")


def _row(user: Json) -> tuple[str, ...]:
    roles = " ".join(role.removeprefix("ROLE_").lower() for role in user.get("roles", []))
    kind = "service account" if user.get("kind") == "USER_KIND_SERVICE_ACCOUNT" else "person"
    state = "disabled" if user.get("disabled") else kind
    return user["name"].removeprefix("users/"), user.get("displayName", ""), roles, state


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="USER", help="Their id: lower-case letters, digits and ._-")],
    role: RoleOption = None,
    display_name: Annotated[str, typer.Option("--name", help="What people call them.")] = "",
    email: Annotated[str, typer.Option(help="Where to write to.")] = "",
    service_account: Annotated[bool, typer.Option("--service-account", help="A program: API keys only.")] = False,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password, or read it when piped.")] = False,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Add a user; a member where no role is given."""
    user: Json = {
        "displayName": display_name,
        "email": email,
        "roles": _roles(role or [Role.MEMBER]),
        "kind": "USER_KIND_SERVICE_ACCOUNT" if service_account else "USER_KIND_PERSON",
    }
    body: Json = {"user": user, "userId": name}
    with Gateway(gateway) as client:
        if password:
            body["password"] = ask_password("Password of the new user", confirm=True)
        made = client.post("/api/v1/users", body).get("user", {})
    if as_json:
        output.document(made)
    else:
        output.note(f"Added {name}. A key for them: parley keys create --user {name}")


def _roles(roles: list[Role]) -> list[str]:
    return [f"ROLE_{role.value.upper()}" for role in roles]


def ask_password(prompt: str, *, confirm: bool = False) -> str:
    """A password, typed unseen on a terminal, or the first line when piped. Raises UsageError for none."""
    if sys.stdin.isatty():
        given = str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        given = sys.stdin.readline().rstrip("\n")
    if not given:
        raise UsageError("no password was given.")
    return given


@app.command()
def show(name: Name = "me", gateway: GatewayOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show a user: yourself, without a name."""
    with Gateway(gateway) as client:
        user = client.get(f"/api/v1/{resource('users', name)}").get("user", {})
    if as_json:
        output.document(user)
        return
    identifier, display_name, roles, state = _row(user)
    organisation = user.get("organisation", "").removeprefix("organisations/")
    rows = [("user", identifier), ("organisation", organisation), ("name", display_name), ("roles", roles)]
    rows += [("state", state), ("scopes", " ".join(user.get("scopes", [])))]
    output.listing(("", ""), rows, "")


@app.command()
def update(
    name: Name,
    role: RoleOption = None,
    display_name: Annotated[str | None, typer.Option("--name", help="What people call them.")] = None,
    email: Annotated[str | None, typer.Option(help="Where to write to.")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Lock them out, or let them in.")] = None,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Change a user."""
    given: Json = {"displayName": display_name, "email": email, "disabled": disabled}
    if role:
        given["roles"] = _roles(role)
    body = {field: value for field, value in given.items() if value is not None}
    if not body:
        raise UsageError("nothing to change. `parley users update --help` says what can be.")
    fields = {"displayName": "display_name"}
    mask = ",".join(fields.get(field, field) for field in body)
    with Gateway(gateway) as client:
        client.patch(f"/api/v1/{resource('users', name)}", body, updateMask=mask)
    output.note(f"Changed {name}.")


@app.command()
def password(name: Name = "me", gateway: GatewayOption = DEFAULT) -> None:
    """Set a password: yours, without a name. When piped: the current one and the new one, a line each."""
    own = name == "me"
    current = ask_password("Current password") if own else ""
    body = {"currentPassword": current, "newPassword": ask_password("New password", confirm=True)}
    with Gateway(gateway) as client:
        client.post(f"/api/v1/{resource('users', name)}:setPassword", body)
    output.note("The password is set, and all sessions have ended.")


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Delete a user with all keys and sessions."""
    if not yes and not confirmed(f"Delete {name} with all their keys?"):
        return
    with Gateway(gateway) as client:
        client.delete(f"/api/v1/{resource('users', name)}")
    output.note(f"Deleted {name}.")
