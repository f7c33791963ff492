"""Django's sessions in the database, read by a statement that is written once: every page reads one."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from usage.written import Written

_SESSION: Final = Written(lambda key, now: Session.objects.filter(session_key=key, expire_date__gt=now))


class SessionStore(DatabaseStore):
    """What Django calls when `SESSION_ENGINE` names this module."""

    def _get_session_from_db(self) -> Any:
        for found in _SESSION(key=self.session_key, now=timezone.now()):
            return found
        self._session_key = None  # as Django's: a key that nobody gave out is not taken over
        return None
