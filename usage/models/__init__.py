from usage.models.accounts import Account, AccountClock, Teammate, User, Workspace
from usage.models.events import Reservation, UsageDay, UsageEvent, UsageTotal
from usage.models.keys import ApiKey
from usage.models.limits import UsageLimit
from usage.models.metrics import Metric
from usage.models.periods import Period
from usage.models.records import AuditEntry, Heartbeat, JobRun

__all__ = [
    "Account",
    "AccountClock",
    "ApiKey",
    "AuditEntry",
    "Heartbeat",
    "JobRun",
    "Metric",
    "Period",
    "Reservation",
    "Teammate",
    "UsageDay",
    "UsageEvent",
    "UsageLimit",
    "UsageTotal",
    "User",
    "Workspace",
]
