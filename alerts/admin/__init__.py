"""Admin of this app. Owns: what was set and told, the outbox as people see it, webhook endpoints, decisions."""

from alerts.admin import account_actions, decisions, messages, rules

__all__ = ["account_actions", "decisions", "messages", "rules"]
