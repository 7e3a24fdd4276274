"""The engine with a language model: what it is told, how it answers, the vote."""
