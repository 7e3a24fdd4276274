"""What can go wrong in the chat service beyond what every service knows."""

from __future__ import annotations

from services.mesh import errors


class ModelNotFound(errors.NotFound):
    """No model of that name is configured.

    Args:
        model: The name that was asked for.
    """

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str) -> None:
        super().__init__(model, f"The model {model!r} does not exist. ListModels (GET /v1/models) names those that do.")
        self.metadata = {"model": model}


class NoDatabase(errors.FailedPrecondition):
    """A question about data was asked, but no database is registered."""

    def __init__(self) -> None:
        super().__init__(
            "No database is registered. Add one with `parley sql add NAME URL`.", metadata={"resource": "databases"}
        )
