"""From a question to its meaning by rules, and from a meaning to SQL and to words."""
