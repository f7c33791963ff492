"""The metrics that every installation starts with (spec 2.1). Data afterwards: admins may change everything."""

from __future__ import annotations

from typing import Any

_SPECS: list[tuple[str, dict[str, Any]]] = [
    (
        "conversations",
        {
            "name": "Conversations",
            "group": "Conversations",
            "event_type": "conversation.created",
            "unit": "conversations",
            "unit_singular": "conversation",
        },
    ),
    (
        "phone",
        {
            "name": "Phone",
            "group": "Channels",
            "kind": "duration",
            "event_type": "call.ended",
            "unit": "minutes",
            "unit_singular": "minute",
            "unit_size": 60,
            "channel": "phone",
        },
    ),
    (
        "sms",
        {
            "name": "SMS",
            "group": "Channels",
            "kind": "sum",
            "event_type": "sms.message",
            "unit": "messages",
            "unit_singular": "message",
            "channel": "sms",
        },
    ),
    (
        "whatsapp",
        {
            "name": "WhatsApp",
            "group": "Channels",
            "kind": "sum",
            "event_type": "whatsapp.message",
            "unit": "messages",
            "unit_singular": "message",
            "channel": "whatsapp",
        },
    ),
    (
        "chat",
        {
            "name": "Chat",
            "group": "Channels",
            "kind": "sum",
            "event_type": "chat.message",
            "unit": "messages",
            "unit_singular": "message",
            "channel": "chat",
        },
    ),
    (
        "emails",
        {
            "name": "Emails",
            "group": "Channels",
            "kind": "sum",
            "event_type": "email.processed",
            "unit": "emails",
            "unit_singular": "email",
            "channel": "email",
        },
    ),
    (
        "messages_sent",
        {
            "name": "Messages sent",
            "group": "Proactive Support Plus",
            "kind": "sum",
            "event_type": "message.sent",
            "unit": "messages",
            "unit_singular": "message",
        },
    ),
    (
        "ai_resolutions",
        {
            "name": "AI Agent resolutions",
            "group": "Resolutions",
            "event_type": "ai_resolution.recorded",
            "unit": "resolutions",
            "unit_singular": "resolution",
            "supports_limit": True,
            "agent_name": "AI Agent",
        },
    ),
    (
        "voice_resolutions",
        {
            "name": "AI Voice resolutions",
            "group": "Resolutions",
            "event_type": "voice_resolution.recorded",
            "unit": "resolutions",
            "unit_singular": "resolution",
            "supports_limit": True,
            "agent_name": "AI Voice",
        },
    ),
    (
        "seats",
        {
            "name": "Seats",
            "group": "Seats",
            "kind": "level",
            "event_type": "seats.set",
            "unit": "seats",
            "unit_singular": "seat",
            "supports_alerts": False,
        },
    ),
]

DEFAULT_METRICS: list[dict[str, Any]] = [
    {"key": key, "position": (index + 1) * 10, **fields} for index, (key, fields) in enumerate(_SPECS)
]


def create_default_metrics(metric_model: Any) -> None:
    """Create those that are missing, by key, and change none. Takes the model so that a migration can call it."""
    for fields in DEFAULT_METRICS:
        metric_model.objects.get_or_create(key=fields["key"], defaults=fields)
