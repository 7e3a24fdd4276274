"""`parley models`: what can chat, what can listen, and what can draw."""

from __future__ import annotations

from cli import output
from cli.errors import ServerError
from cli.gateway import DEFAULT, Gateway, GatewayOption, Json
from cli.output import JsonOption

# What takes part in drawing: by path, the field that lists it, and what it is for.
DRAWING = (
    ("imageModels", "models", "image"),
    ("imageLoras", "loras", "image: LoRA"),
    ("imageControlNets", "controlNets", "image: ControlNet"),
)


def models(gateway: GatewayOption = DEFAULT, as_json: JsonOption = False) -> None:
    """List the models for chat, speech and pictures, the default of each first; LoRAs and ControlNets too."""
    with Gateway(gateway) as client:
        chat = client.get("/api/v1/models").get("models", [])
        speech = client.get("/api/v1/speech/models").get("models", [])
        drawing, fault = _drawing(client)
    if as_json:
        output.document({"chat": chat, "speech": speech, **{path: drawing.get(path, []) for path, _, _ in DRAWING}})
        return
    rows = [*map(_chat, chat), *map(_speech, speech)]
    rows += [_image(one, use) for path, _, use in DRAWING for one in drawing.get(path, [])]
    output.listing(("model", "for", "about"), rows, "No model is configured.")
    if fault:
        output.note(f"No models for pictures: {fault}")


def _drawing(client: Gateway) -> tuple[dict[str, list[Json]], str]:
    """What can draw, by path; or why nothing can: the other models are listed all the same."""
    try:
        return {path: client.get(f"/api/v1/{path}").get(field, []) for path, field, _ in DRAWING}, ""
    except ServerError as error:
        return {}, str(error)


def _chat(model: Json) -> tuple[str, str, str]:
    return model["id"], "chat", f"{model.get('description', '')} [{model.get('provider', '')}]".strip()


def _speech(model: Json) -> tuple[str, str, str]:
    languages = ", ".join(model.get("languageCodes", []))
    state = "" if model.get("ready") else " Not loaded."
    return model["id"], "speech", f"{model.get('description', '')}{state} [{languages}]".strip()


def _image(model: Json, use: str) -> tuple[str, str, str]:
    about = model.get("description") or model.get("title") or ""
    size = model.get("defaultSize")
    made = f" [{model.get('architecture', '')}, {size} × {size}]" if size else ""
    fault = f" Cannot be used: {model['fault']}" if model.get("fault") else ""
    return model["id"], use, f"{about}{made}{fault}".strip()
