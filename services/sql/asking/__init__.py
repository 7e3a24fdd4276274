"""Questions from end to end: ask, think, try, answer, ask back, suggest."""
