"""Writes of this app, by topic: keyword-only functions, one transaction each."""
