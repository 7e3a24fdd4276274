"""What the chat service counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

ANSWERS = Counter("parley_chat_answers", "Answers that came to their end, by why they ended.", ["model", "reason"])
FIRST_TEXT = Histogram(
    "parley_chat_first_text_seconds",
    "Time until the first text of an answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
TOKENS = Counter("parley_chat_tokens", "Tokens of answers, over all rounds with tools.", ["model", "kind"])
TOOLS = Histogram(
    "parley_chat_tool_seconds",
    "Time of tool calls, by how they ended.",
    ["tool", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
