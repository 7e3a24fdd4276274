"""The chat models of this deployment, by id."""

from __future__ import annotations

from collections.abc import Sequence

from services.chat.errors import ModelNotFound
from services.chat.models import ChatModel, ModelInfo


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
        self.get(default)

    def get(self, model: str) -> ChatModel:
        """The model of an id; the default where it is empty. Raises ModelNotFound."""
        found = self._models.get(model or self._default)
        if found is None:
            raise ModelNotFound(model or self._default)
        return found

    def infos(self) -> list[ModelInfo]:
        """What the models are, the default first."""
        first = self._models[self._default].info
        return [first, *(m.info for m in self._models.values() if m.info is not first)]
