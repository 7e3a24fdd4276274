"""The web UI's options, for each owner their own: what a client sets decides about that owner's drawings only.

A few mean something here (MEANT); any other is kept and given back, as clients that store settings of theirs expect.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.image.catalog import Catalog, Model
from services.image.drawing import Format, Output
from services.image.errors import ModelNotFound
from services.mesh.authority import NotGranted
from services.mesh.errors import FieldViolation, InvalidArgument

MODEL, CLIP_SKIP, VAE = "sd_model_checkpoint", "CLIP_stop_at_last_layers", "sd_vae"
MAX_OPTIONS, MAX_BYTES = 1000, 64 * 1024
FORMATS = {"png": Format.PNG, "jpg": Format.JPEG, "jpeg": Format.JPEG, "webp": Format.WEBP}
AUTOMATIC = (None, "", "None", "Automatic")
MEANT: Mapping[str, Any] = {
    "samples_format": "png",
    "jpeg_quality": 80,
    VAE: "Automatic",
    CLIP_SKIP: 1,
    "live_previews_enable": True,
    "show_progress_every_n_steps": 10,
    "face_restoration_model": None,
    "eta_noise_seed_delta": 0,
}
"""What is honoured, besides the model, with the web UI's defaults."""


class Kept(Protocol):
    """Keeps options. Each method raises StorageUnavailable without storage."""

    async def options(self, owner: str) -> dict[str, Any]:
        """What an owner has set."""
        ...

    async def change(self, owner: str, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Puts what `change` makes of an owner's options in their place; what it raises leaves them as they were."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """An owner's options, all checked."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """What was set, by name."""

    def changed(self, changes: Mapping[str, Any], catalog: Catalog, where: str = "") -> Options:
        """With some of them set anew.

        Args:
            changes: The new values, by name.
            catalog: What there is to draw with.
            where: What the request calls the whole, to name fields in it.

        Raises:
            InvalidArgument: A value is wrong; it is named.
            ModelNotFound: There is no such model.
        """
        prefix = f"{where}." if where else ""
        for name, value in changes.items():
            _check(name, value, prefix, catalog)
        values = {**self.values, **changes}
        if len(values) > MAX_OPTIONS or len(json.dumps(values)) > MAX_BYTES:
            raise InvalidArgument(where or "body", f"must be at most {MAX_OPTIONS} options in {MAX_BYTES >> 10} KiB")
        return Options(values)

    def get(self, name: str) -> Any:
        """A value, the default where none was set."""
        value = self.values.get(name)
        return MEANT.get(name) if value is None else value

    def model(self, catalog: Catalog) -> Model:
        """The model that draws. Raises ModelNotFound where it is there no more, or none ever was."""
        return checkpoint(self.values.get(MODEL) or "", catalog, MODEL)

    @property
    def clip_skip(self) -> int:
        """As Settings has it."""
        return int(self.get(CLIP_SKIP))

    def output(self) -> Output:
        """What comes back, previews included."""
        interval = int(self.get("show_progress_every_n_steps")) if self.get("live_previews_enable") else 0
        form = FORMATS[str(self.get("samples_format")).lower()]
        return Output(form, int(self.get("jpeg_quality")), max(0, interval))

    def shown(self, catalog: Catalog) -> dict[str, Any]:
        """All of them, as clients read them; a model that is there no more by the name that was set."""
        try:
            model = self.model(catalog)
            chosen: dict[str, Any] = {MODEL: title(model), "sd_checkpoint_hash": model.sha256}
        except (ModelNotFound, NotGranted):
            chosen = {MODEL: self.values.get(MODEL), "sd_checkpoint_hash": ""}
        restorers = catalog.face_restorers
        own = {"face_restoration_model": restorers[0] if restorers else None}
        return {**MEANT, **own, **{name: value for name, value in self.values.items() if value is not None}, **chosen}


def checkpoint(name: str, catalog: Catalog, where: str) -> Model:
    """The model that a client means: by its id, title, file name or hash, as the web UI knows them.

    Args:
        name: What the client says; empty: the default one.
        catalog: What there is to draw with.
        where: What the request calls it.

    Raises:
        ModelNotFound: There is none.
        NotGranted: It is not open to the caller.
    """
    if not name and (default := catalog.model("")) is not None:
        return default
    wanted = name.strip().casefold()
    for model in (*catalog.models, *catalog.closed):
        known = {model.id, model.title, title(model), f"{model.id}.safetensors", f"{model.id}.ckpt"}
        if model.sha256:
            known |= {model.sha256, model.sha256[:10], model.sha256[:8]}
        if wanted in {one.casefold() for one in known}:
            catalog.require_open(model)
            return model
    error = ModelNotFound(name, [title(model) for model in catalog.models])
    error.violations = tuple(FieldViolation(where, violation.description) for violation in error.violations)
    raise error


def title(model: Model) -> str:
    """A model as the web UI names it: `shapes [1a2b3c4d5e]`."""
    return f"{model.id} [{model.sha256[:10]}]" if model.sha256 else model.id


def _check(name: str, value: Any, prefix: str, catalog: Catalog) -> None:
    """Raises InvalidArgument for a value that would be honoured and cannot be."""
    fault = ""
    if name == MODEL:
        if not isinstance(value, str | None):
            raise InvalidArgument(prefix + name, "must be the title of a model: GET /sdapi/v1/sd-models")
        checkpoint(value or "", catalog, prefix + name)
    elif name == VAE and value not in AUTOMATIC:
        fault = "must be Automatic: models keep their own decoder here"
    elif value is None or name not in MEANT:
        return
    elif name == CLIP_SKIP:
        fault = _whole(value, 1, 12)
    elif name == "jpeg_quality":
        fault = _whole(value, 1, 100)
    elif name == "show_progress_every_n_steps":
        fault = _whole(value, -1, 150)
    elif name == "eta_noise_seed_delta" and value != 0:
        fault = "must be 0: seeds are used as they are"
    elif name == "samples_format" and str(value).lower() not in FORMATS:
        fault = f"must be one of {', '.join(FORMATS)}"
    elif name == "face_restoration_model" and value not in (*catalog.face_restorers, "", "None"):
        fault = f"must be one of {', '.join(catalog.face_restorers) or 'none: no face restorer is installed'}"
    if fault:
        raise InvalidArgument(prefix + name, fault)


def _whole(value: Any, low: int, high: int) -> str:
    """What is wrong with a number that must be whole; empty: nothing."""
    right = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    return "" if right and low <= value <= high else f"must be a whole number from {low} to {high}"
