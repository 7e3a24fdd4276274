"""What a database in use has been taught: examples, verdicts, history, and answers after them."""
