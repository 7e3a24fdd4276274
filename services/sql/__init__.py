"""The sql service: registered databases, questions turned into SQL, and SQL that only reads."""
