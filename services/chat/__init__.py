"""The chat service: conversations, models that answer in them, and the tools that those models call."""
