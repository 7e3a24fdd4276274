"""Backups that are tried: of a laptop's state folder, and of a cluster's databases."""
