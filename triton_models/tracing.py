"""How Triton is told to record traces.

It exports over OTLP/HTTP, and goes on with the W3C context in a request's metadata
(https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/trace.html). It begins no trace
by itself: a rate of 0 leaves those with a context, and services/mesh passes only contexts of traces that are recorded.
"""

from __future__ import annotations


def flags(endpoint: str) -> list[str]:
    """Arguments of tritonserver.

    Args:
        endpoint: OTLP/HTTP collector, e.g. http://otel-collector:4318/v1/traces. Empty: nothing is recorded.
    """
    if not endpoint:
        return []
    settings = [
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "rate=0",
        f"opentelemetry,url={endpoint}",
        "opentelemetry,resource=service.name=triton",
        # As the services: twice a second.
        "opentelemetry,bsp_schedule_delay=500",
    ]
    return [f"--trace-config={setting}" for setting in settings]
