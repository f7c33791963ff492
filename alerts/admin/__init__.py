"""Admin of this app. Owns: what was set and told, the outbox as people see it, webhook endpoints, decisions."""

from alerts.admin import decisions, messages, rules

__all__ = ["decisions", "messages", "rules"]
