"""Reads of alerts, limits and decisions, by topic."""
