"""Benchmarks: each is a command that prints what it measured, as a ratio of things measured side by side in one run."""
