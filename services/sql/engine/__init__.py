"""The embedded engine: searches the meanings of a question and ranks them by learned weights."""
