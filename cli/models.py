"""`parley models`: what can chat and what can listen."""

from __future__ import annotations

from cli import output
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json
from cli.output import JsonOption


def models(gateway: GatewayOption = DEFAULT, as_json: JsonOption = False) -> None:
    """List the models for chat and for speech, the default of each first."""
    with Gateway(gateway) as client:
        chat = client.get("/api/v1/models").get("models", [])
        speech = client.get("/api/v1/speech/models").get("models", [])
    if as_json:
        output.document({"chat": chat, "speech": speech})
    else:
        output.listing(("model", "for", "about"), [*map(_chat, chat), *map(_speech, speech)], "No model is configured.")


def _chat(model: Json) -> tuple[str, str, str]:
    return model["id"], "chat", f"{model.get('description', '')} [{model.get('provider', '')}]".strip()


def _speech(model: Json) -> tuple[str, str, str]:
    languages = ", ".join(model.get("languageCodes", []))
    state = "" if model.get("ready") else " Not loaded."
    return model["id"], "speech", f"{model.get('description', '')}{state} [{languages}]".strip()
