"""Trains the small text-to-image checkpoint that Parley ships: a generator, stages, a checker."""
