"""The admin's frame: which pages there are besides the models', and what its index lists."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, path, reverse

ORDER = ("usage", "billing", "alerts", "django_q", "auth")


class HeadroomAdminSite(AdminSite):
    """Django's admin with the operator's pages beside the models."""

    site_header = "Headroom admin"
    site_title = "Headroom admin"
    index_title = "Operate Headroom"
    empty_value_display = "–"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """The queue's own admin could write schedules by hand, and one wrong schedule stops all (config.schedules)."""
        if admin_class is not None and admin_class.__module__ == "django_q.admin":
            return
        super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        from usage.admin import corrections, lookup

        own = [
            path("usage/lookup/", self.admin_view(lookup.usage_lookup), name="usage_lookup"),
            path("usage/correct/", self.admin_view(corrections.correct_event), name="usage_correct"),
        ]
        return [*own, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The models, and the operator's pages as if they were some."""
        apps: list[Any] = super().get_app_list(request, app_label)
        apps.sort(key=lambda app: ORDER.index(app["app_label"]) if app["app_label"] in ORDER else len(ORDER))
        for app in apps:
            if app["app_label"] == "usage" and request.user.has_perm("usage.view_usageevent"):
                app["models"].append(_page("Usage: events, days, totals, reservations", "UsageLookup", "usage_lookup"))
        return apps


def _page(name: str, object_name: str, view: str) -> dict[str, Any]:
    return {
        "name": name,
        "object_name": object_name,
        "admin_url": reverse(f"admin:{view}"),
        "add_url": None,
        "view_only": True,
        "perms": {"view": True},
        "model": None,
    }
