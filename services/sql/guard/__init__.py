"""The guard: what a statement may be before any database sees it."""
