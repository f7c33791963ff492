"""Admin of this app. Owns: the pages for its models, the lookup of usage, and the parts that all admin pages share."""

from usage.admin import accounts, keys, people, records, usage_rules

__all__ = ["accounts", "keys", "people", "records", "usage_rules"]
