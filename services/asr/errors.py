"""What can be wrong with a recognition, beyond what services/mesh/errors.py has."""

from __future__ import annotations

from services.mesh import errors


class InvalidAudio(errors.InvalidArgument):
    """The audio cannot be decoded.

    Args:
        description: What is wrong with it, and what would be right.
        field: What the request calls it.
    """

    reason = "INVALID_AUDIO"

    def __init__(self, description: str, field: str = "audio") -> None:
        super().__init__(field, description)
        self.description = description


class ModelNotFound(errors.NotFound):
    """No recognition model of that name is configured.

    Args:
        model: The name that was asked for.
        known: The names that there are.
    """

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str, known: list[str]) -> None:
        super().__init__(f"models/{model}", f"There is no speech model {model!r}; there are: {', '.join(known)}.")
        self.metadata = {"model": model}


class AudioTooLong(errors.TooLarge):
    """The audio is longer than this deployment takes.

    Args:
        seconds: The limit.
        field: What the request calls the audio.
    """

    def __init__(self, seconds: float, field: str = "audio") -> None:
        super().__init__(
            f"The audio is longer than {seconds:g} seconds, the limit here. Send it in parts.",
            metadata={"limit": f"{seconds:g}s"},
            violations=[errors.FieldViolation(field, f"must not be longer than {seconds:g} seconds")],
        )
        self.seconds = seconds


class ModelNotLoaded(errors.FailedPrecondition):
    """A model that the request needs is known, but not loaded in this deployment.

    Args:
        field: What asked for it.
        model: Its id.
        remedy: What to do instead.
    """

    def __init__(self, field: str, model: str, remedy: str) -> None:
        description = f"the model {model!r} is not loaded here; {remedy}"
        super().__init__(
            f"{field}: {description}",
            metadata={"model": model},
            violations=[errors.FieldViolation(field, description)],
        )
