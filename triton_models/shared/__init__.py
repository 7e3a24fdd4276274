"""What the models have in common. Imported inside Triton's Python stubs: it imports little."""
