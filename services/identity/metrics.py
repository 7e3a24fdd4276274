"""What the identity service counts for Prometheus. No user is a label: the audit log and the usage say who."""

from __future__ import annotations

from prometheus_client import Counter

DECISIONS = Counter(
    "parley_identity_decisions", "Requests that wanted to pass: `allowed`, or the reason of the refusal.", ["outcome"]
)
USAGE = Counter("parley_identity_usage", "What was used, in each service's own units.", ["service", "model", "unit"])
