"""What is counted of model providers for Prometheus.

Providers tell what is left of a quota in headers that OpenAI named and most others took over:
x-ratelimit-limit-requests, x-ratelimit-remaining-tokens … (https://platform.openai.com/docs/guides/rate-limits).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
QUOTAS = ("requests", "tokens")
KINDS = {"prompt_tokens": "prompt", "completion_tokens": "completion"}

RESPONSES = Counter(
    "parley_provider_responses",
    "Requests to model providers, by HTTP status; by `timeout`, `unreachable` or `broken` where the way failed.",
    ["provider", "code"],
)
FIRST = Histogram(
    "parley_provider_first_event_seconds", "Time until a provider's stream began.", ["provider"], buckets=BUCKETS
)
SECONDS = Histogram(
    "parley_provider_answer_seconds", "Time of a provider's whole answer.", ["provider"], buckets=BUCKETS
)
TOKENS = Counter("parley_provider_tokens", "Tokens that providers charged for.", ["provider", "model", "kind"])
LIMIT = Gauge("parley_provider_quota_limit", "What a provider allows in its window.", ["provider", "quota"])
REMAINING = Gauge("parley_provider_quota_remaining", "What was left of it at its last answer.", ["provider", "quota"])


class ProviderMeter:
    """Counts for one provider.

    Args:
        provider: Its name.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._first = FIRST.labels(provider)
        self._seconds = SECONDS.labels(provider)

    def responded(self, status: int, headers: Mapping[str, str]) -> None:
        """Counts an answer, and keeps what its headers say of quotas.

        Args:
            status: Its HTTP status.
            headers: Its headers, whose names are looked up in lower case.
        """
        RESPONSES.labels(self._provider, str(status)).inc()
        for quota in QUOTAS:
            limit = _count(headers.get(f"x-ratelimit-limit-{quota}", ""))
            remaining = _count(headers.get(f"x-ratelimit-remaining-{quota}", ""))
            if limit and remaining is not None:
                LIMIT.labels(self._provider, quota).set(limit)
                REMAINING.labels(self._provider, quota).set(remaining)

    def failed(self, how: str) -> None:
        """Counts a request that the way there failed; one whose answer broke off was counted by its status too.

        Args:
            how: timeout, unreachable or broken.
        """
        RESPONSES.labels(self._provider, how).inc()

    def began(self, seconds: float) -> None:
        """Keeps how long the first event of a stream took."""
        self._first.observe(seconds)

    def ended(self, seconds: float) -> None:
        """Keeps how long a whole answer took."""
        self._seconds.observe(seconds)

    def used(self, model: str, usage: Any) -> None:
        """Counts tokens.

        Args:
            model: The model's id here.
            usage: What the provider sent as `usage`; anything but an object with counts adds nothing.
        """
        for field, kind in KINDS.items():
            count = usage.get(field) if isinstance(usage, Mapping) else None
            if isinstance(count, int) and count > 0:
                TOKENS.labels(self._provider, model, kind).inc(count)


def _count(text: str) -> int | None:
    """A count; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() else None
