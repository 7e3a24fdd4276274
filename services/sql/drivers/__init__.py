"""One module for each kind of database: how it is connected to, described, asked and stopped."""
