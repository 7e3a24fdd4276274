"""Answering after examples: statements taken apart, recalled, fitted to a new question, ranked."""
