"""What a model may raise for one request; importable where Triton's own modules are not."""

from __future__ import annotations


class InputError(ValueError):
    """The request's tensors make no sense; the message names the tensor and what it should be."""


class UnsupportedError(Exception):
    """What is asked for is not there in this deployment; the message says how to add it."""


class CancelledError(Exception):
    """The client gave up; raised by a model that noticed."""
