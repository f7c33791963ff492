"""Who is logged in: Django's own way, with the person read by a statement that is written once."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.backends import ModelBackend

from usage.models import User
from usage.written import Written

_USER: Final = Written(lambda user_id: User.objects.filter(pk=user_id))


class UserBackend(ModelBackend):
    """Every request of a page asks for its person."""

    def get_user(self, user_id: Any) -> User | None:
        user = next(iter(_USER(user_id=user_id)), None)
        return user if user is not None and self.user_can_authenticate(user) else None
