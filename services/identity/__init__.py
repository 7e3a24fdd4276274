"""Who calls, what they may do, and how much of it: users, keys, tokens, grants, limits, usage and the audit log."""
