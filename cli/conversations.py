"""`parley conversations`: list, show, rename and delete them."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.errors import UsageError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json, resource
from cli.output import JsonOption

app = typer.Typer(no_args_is_help=True, help="Your conversations.")

Name = Annotated[str, typer.Argument(metavar="CONVERSATION", help="Its id, as `list` shows it.")]

SPEAKERS = {"ROLE_USER": "you", "ROLE_ASSISTANT": "parley"}


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 20,
    gateway: GatewayOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List conversations, the one last written in first."""
    with Gateway(gateway) as client:
        found = client.pages("/api/v1/conversations", "conversations", limit)
    if as_json:
        output.document({"conversations": found})
    else:
        output.listing(("conversation", "title", "last written in"), map(_row, found), "No conversations yet.")


def _row(conversation: Json) -> tuple[str, str, str]:
    identifier = conversation["name"].removeprefix("conversations/")
    written = conversation.get("updateTime", "")[:16].replace("T", " ")
    return identifier, conversation.get("title", ""), f"{written} UTC" if written else ""


@app.command()
def show(name: Name, gateway: GatewayOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show the messages of a conversation, oldest first."""
    with Gateway(gateway) as client:
        messages = client.pages(f"/api/v1/{resource('conversations', name)}/messages", "messages")
    if as_json:
        output.document({"messages": messages})
        return
    for message in messages:
        _message(message)


def _message(message: Json) -> None:
    """Shows a message: who, what came with it, what the tools answered, the text."""
    speaker = SPEAKERS.get(message.get("role", ""), "?")
    cut = "  (cut off)" if message.get("state") == "MESSAGE_STATE_INTERRUPTED" else ""
    output.write(f"{speaker}{cut}\n")
    for attachment in message.get("attachments", []):
        output.write(f"[{attachment.get('filename', '')}, {int(attachment.get('size', 0)):,} bytes]\n")
    for result in message.get("toolResults", []):
        if "table" in result:
            output.table(result["table"].get("columns", []), result["table"].get("rows", []))
        if "image" in result:
            output.write(f"[{_picture(result['image'])}]\n")
    output.write(message.get("text", "") + "\n\n")


def _picture(image: Json) -> str:
    """What is kept of a picture in a conversation: its name, and what it takes to draw it again."""
    facts = f"{image.get('width', 0)} × {image.get('height', 0)}, {image.get('model', '')}, seed {image.get('seed', 0)}"
    return f"{image.get('name', '')}, {facts}, {int(image.get('size', 0)):,} bytes"


@app.command()
def rename(
    name: Name, title: Annotated[str, typer.Argument(help="Its new title.")], gateway: GatewayOption = DEFAULT
) -> None:
    """Give a conversation another title."""
    with Gateway(gateway) as client:
        client.patch(f"/api/v1/{resource('conversations', name)}", {"title": title}, updateMask="title")
    output.note(f"Renamed to {title!r}.")


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    gateway: GatewayOption = DEFAULT,
) -> None:
    """Delete a conversation with all its messages."""
    if not yes and not confirmed(f"Delete {name} with all its messages?"):
        return
    with Gateway(gateway) as client:
        client.delete(f"/api/v1/{resource('conversations', name)}")
    output.note(f"Deleted {name}.")


def confirmed(question: str) -> bool:
    """Asks a person. Raises UsageError where there is none to ask."""
    import sys

    if not sys.stdin.isatty():
        raise UsageError("nobody is here to confirm. Pass --yes.")
    return typer.confirm(question, err=True)
