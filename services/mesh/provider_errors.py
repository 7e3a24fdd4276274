"""What a model provider can do to a request."""

from __future__ import annotations

from services.mesh import errors


class UpstreamError(errors.ParleyError):
    """Base of what a model provider can do to a request.

    `same_again` says whether the same provider may answer the same request a moment later; `elsewhere` whether another
    provider of the same model may.
    """

    same_again = False
    elsewhere = True


class UpstreamUnauthenticated(UpstreamError, errors.FailedPrecondition):
    """The provider refused our credentials: the operator has to mend that, not the caller."""

    reason = "UPSTREAM_UNAUTHENTICATED"

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"The model provider {provider!r} refused this deployment's credentials.", metadata={"provider": provider}
        )


class UpstreamRateLimited(UpstreamError, errors.ResourceExhausted):
    """The provider limits our rate.

    Args:
        provider: Its name.
        retry_after: Seconds after which it will answer again, where it said so.
    """

    reason = "UPSTREAM_RATE_LIMITED"
    same_again = True

    def __init__(self, provider: str, retry_after: float | None = None) -> None:
        super().__init__(
            f"The model provider {provider!r} limits the rate of requests.",
            metadata={"provider": provider},
            retry_after=retry_after,
        )


class UpstreamFailed(UpstreamError, errors.Unavailable):
    """The provider failed, or answered with something that is not its protocol.

    Args:
        provider: Its name.
        what: What it did, as the end of a sentence.
    """

    reason = "UPSTREAM_FAILED"
    same_again = True

    def __init__(self, provider: str, what: str) -> None:
        super().__init__(f"The model provider {provider!r} {what}.", metadata={"provider": provider})


class UpstreamTimeout(UpstreamError, errors.DeadlineExceeded):
    """The provider did not answer in time."""

    reason = "UPSTREAM_TIMEOUT"

    def __init__(self, provider: str) -> None:
        super().__init__(f"The model provider {provider!r} did not answer in time.", metadata={"provider": provider})


class UpstreamRejected(UpstreamError, errors.InvalidArgument):
    """The provider says that the request is wrong; another provider would say the same.

    Args:
        provider: Its name.
        message: What it said.
        param: The field that it blamed.
    """

    elsewhere = False

    def __init__(self, provider: str, message: str, param: str = "") -> None:
        errors.InvalidArgument.__init__(self, param or "request", message, metadata={"provider": provider})
        self.message = f"The model provider {provider!r} rejected the request: {message}"
