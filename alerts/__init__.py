"""alerts reacts: it tells people, and answers whether the agent may go on.

Owns: usage, plan and spend alerts, firings, notifications, deliveries, decisions, workflows.
Does not own: the count, the limit on the total (usage), the terms (billing). Imports billing and usage.
"""
