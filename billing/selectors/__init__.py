"""Reads of this app, by topic."""
