"""Pictures: drawn, edited and enlarged by models on Triton, in a queue that is fair to its users."""
