"""What can be wrong with a picture or a job, beyond what services/mesh/errors.py has."""

from __future__ import annotations

from collections.abc import Sequence

from services.mesh import errors


class InvalidImage(errors.InvalidArgument):
    """A picture of the request cannot be read, or does not fit.

    Args:
        field: What the request calls it.
        description: What is wrong with it, and what would be right.
    """

    reason = "INVALID_IMAGE"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(field, description)
        self.description = description


class ModelNotFound(errors.NotFound):
    """No model of that name is installed.

    Args:
        model: The name that was asked for.
        known: The names that there are.
    """

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str, known: Sequence[str]) -> None:
        super().__init__(f"imageModels/{model}", f"There is no model {model!r} that draws; there are: {listed(known)}.")
        self.metadata = {"model": model}
        self.violations = (errors.FieldViolation("settings.model", f"must be one of: {listed(known)}"),)


class ModelBroken(errors.FailedPrecondition):
    """A model is installed and cannot be used.

    Args:
        model: Its name.
        fault: Why.
    """

    def __init__(self, model: str, fault: str) -> None:
        description = f"the model {model!r} cannot be used: {fault}. Mend its files, or ask for another model"
        super().__init__(
            f"settings.model: {description}.",
            metadata={"model": model},
            violations=[errors.FieldViolation("settings.model", description)],
        )


class LinkNotValid(errors.PermissionDenied):
    """A link to a picture opens nothing: the same words for whatever is the reason, which is nobody's business."""

    def __init__(self) -> None:
        super().__init__(
            "This link is not valid: it has expired, was changed, or its picture is gone. Who drew the picture can ask "
            "for a new one: GET /api/v1/images/{image}/metadata."
        )


class QueueFull(errors.ResourceExhausted):
    """Too many jobs wait.

    Args:
        message: Whose, and how many.
        limit: How many may wait.
        retry_after: Seconds after which there may be room.
    """

    reason = "QUEUE_FULL"

    def __init__(self, message: str, limit: int, retry_after: float) -> None:
        super().__init__(message, metadata={"limit": str(limit)}, retry_after=retry_after)


def listed(names: Sequence[str]) -> str:
    """Names for a sentence; "none" where there is none."""
    return ", ".join(names) or "none"
