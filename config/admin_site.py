"""The admin's frame: which pages there are besides the models', and what its index lists."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.text import slugify

from usage.clocks import system_clock

# The permissions of somebody; None: all.
type Rights = frozenset[str] | None

# What the index and the sidebar list, by what somebody comes for; models that are not named here come last.
GROUPS: dict[str, tuple[str, ...]] = {
    "Customers": ("account", "workspace", "user", "teammate", "billingcontact", "billingprofile", "apikey"),
    "Catalogue": ("metric", "plan", "addon", "rate"),
    "Sold": ("subscription", "addonsubscription", "contract", "periodterms"),
    "Invoices": ("invoice", "invoiceline", "billedusage", "invoicepayment", "invoicedocument", "invoicedispatch"),
    "Alerts and limits": ("usagealert", "usagelimit", "planalertswitch", "spendalert", "firing", "limitstate"),
    "Messages": ("delivery", "notification", "webhookendpoint", "notificationread"),
    "Workflows": ("workflow", "handoversteps", "conversation", "storedanswer"),
    "Records": ("auditentry", "period", "accountclock", "numberseries", "renderingtrouble", "group"),
    "Background jobs": ("schedule", "ormq", "failure", "success", "jobrun", "heartbeat"),
}


class FoundRows(AutocompleteJsonView):
    """Rows that are searched for, told apart by their key or address: two accounts may have one name."""

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        found = super().serialize_result(obj, to_field_name)
        told = getattr(obj, "key", "") or getattr(obj, "email", "")
        return found if told in ("", found["text"]) else {**found, "text": f"{found['text']} ({told})"}


class HeadroomAdminSite(AdminSite):
    """Django's admin with the operator's pages beside the models."""

    site_header = "Headroom admin"
    site_title = "Headroom admin"
    index_title = "Operate Headroom"
    empty_value_display = "–"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._app_lists: dict[tuple[Rights, str | None], list[Any]] = {}
        self._sidebars: dict[tuple[Rights, str], str] = {}

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """The queue's own admin could write schedules by hand, and one wrong schedule stops all (config.schedules)."""
        if admin_class is not None and admin_class.__module__ == "django_q.admin":
            return
        super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        from config import admin_pages, first_steps
        from usage.admin import corrections, lookup

        own = [
            path("health/", self.admin_view(admin_pages.health), name="health"),
            path("health/<str:name>/", self.admin_view(admin_pages.run_task), name="run_task"),
            path("first-steps/", self.admin_view(first_steps.first_steps), name="first_steps"),
            path("usage/lookup/", self.admin_view(lookup.usage_lookup), name="usage_lookup"),
            path("usage/correct/", self.admin_view(corrections.correct_event), name="usage_correct"),
        ]
        return [*own, *super().get_urls()]

    def autocomplete_view(self, request: HttpRequest) -> Any:
        return FoundRows.as_view(admin_site=self)(request)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Whether all is well, and the models; on an empty installation, where to begin."""
        from config.health import findings, verdict
        from usage.models import Account

        about: dict[str, Any] = {}
        if request.user.has_perm("usage.change_account"):
            about["is_new"] = not Account.objects.exists()
            about["verdict"] = verdict(findings(now=system_clock()))
        return super().index(request, {**(extra_context or {}), **about})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The models by what somebody comes for, and the operator's pages as if they were some. The same for all who
        have the same permissions, so it is made once for them: every page lists it, and fifty models' addresses take as
        long as the page's rows."""
        rights = _rights(request)
        made = self._app_lists.get((rights, app_label))
        if made is None:
            made = self._app_lists[rights, app_label] = self._app_list(request, app_label)
        return made

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "sidebar": lambda: self._sidebar(request)}

    def _sidebar(self, request: HttpRequest) -> str:
        """The models beside a page, the page's own marked. As the list itself it is the same for all who have the same
        permissions, so it is drawn once for them and each model: it takes as long as all the rest of a short page."""
        apps = self.get_app_list(request)
        addresses = [model["admin_url"] for app in apps for model in app["models"] if model["admin_url"]]
        here = next((each for each in addresses if request.path.startswith(each)), reverse("admin:index"))
        key = (_rights(request), here)
        if key not in self._sidebars:
            context = {"available_apps": apps, "request": {"path": here}}
            self._sidebars[key] = render_to_string("admin/sidebar.html", context)
        return self._sidebars[key]

    def _app_list(self, request: HttpRequest, app_label: str | None) -> list[Any]:
        apps: list[Any] = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        models = {model["object_name"].lower(): model for app in apps for model in app["models"]}
        groups = [("Operate", _own_pages(request))]
        groups += [(name, [models.pop(each) for each in kinds if each in models]) for name, kinds in GROUPS.items()]
        groups += [("More", list(models.values()))]
        return [_group(name, pages) for name, pages in groups if pages]


def _rights(request: HttpRequest) -> Rights:
    user = request.user
    return None if user.is_superuser else frozenset(user.get_all_permissions())


def _own_pages(request: HttpRequest) -> list[dict[str, Any]]:
    own = []
    if request.user.has_perm("usage.change_account"):
        own += [_page("Health", "Health", "health"), _page("First steps", "FirstSteps", "first_steps")]
    if request.user.has_perm("usage.view_usageevent"):
        own.append(_page("Usage lookup", "UsageLookup", "usage_lookup"))
    return own


def _group(name: str, pages: list[dict[str, Any]]) -> dict[str, Any]:
    label = slugify(name)
    address = f"{reverse('admin:index')}#{label}"
    return {"name": name, "app_label": label, "app_url": address, "has_module_perms": True, "models": pages}


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
