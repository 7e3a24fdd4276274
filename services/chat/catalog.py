"""The chat models of this deployment, by id, as far as the caller may use them."""

from __future__ import annotations

from collections.abc import Sequence

from services.chat.errors import ModelNotFound
from services.chat.models import ChatModel, ModelInfo
from services.mesh import authority


class Catalog:
    """Finds models.

    Args:
        models: All of them; no two with the same id.
        default: Id of the one that answers where none is named.

    Raises:
        ModelNotFound: There is no model of the default's id.
    """

    def __init__(self, models: Sequence[ChatModel], default: str) -> None:
        self._models = {model.info.id: model for model in models}
        self._default = default
        if default not in self._models:
            raise ModelNotFound(default)

    def get(self, model: str) -> ChatModel:
        """The model of an id; where it is empty the default, or else the first that the caller may use.

        Raises:
            ModelNotFound: There is no such model.
            NotGranted: The caller may not use it.
        """
        wanted = model or next((info.id for info in self.infos()), self._default)
        found = self._models.get(wanted)
        if found is None:
            raise ModelNotFound(wanted)
        authority.current().require_model(wanted)
        return found

    def infos(self) -> list[ModelInfo]:
        """What the models are that the caller may use, the default first."""
        allowed = authority.current()
        ordered = sorted(self._models.values(), key=lambda model: model.info.id != self._default)
        return [model.info for model in ordered if allowed.may_use_model(model.info.id)]
