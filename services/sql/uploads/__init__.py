"""Databases made of people's files."""
