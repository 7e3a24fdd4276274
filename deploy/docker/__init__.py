"""Container images: what they are made of, and how they are built."""
