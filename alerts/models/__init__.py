from alerts.models.alerts import Firing, LimitState, PlanAlertSwitch, SpendAlert, UsageAlert
from alerts.models.decisions import Conversation, HandoverSteps, StoredAnswer, Workflow
from alerts.models.messages import Delivery, Notification, NotificationRead, WebhookEndpoint

__all__ = [
    "Conversation",
    "Delivery",
    "Firing",
    "HandoverSteps",
    "LimitState",
    "Notification",
    "NotificationRead",
    "PlanAlertSwitch",
    "SpendAlert",
    "StoredAnswer",
    "UsageAlert",
    "WebhookEndpoint",
    "Workflow",
]
