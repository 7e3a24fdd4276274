"""The `parley` command: runs the stack on this machine, and is a client of its gateway."""
