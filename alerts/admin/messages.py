"""What people see and get: notifications, the outbox as it looks, webhook endpoints (spec 3.11, 3.12, 10.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.csp import CSP
from django.utils.html import format_html
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override

from alerts.models import Delivery, Notification, NotificationRead, WebhookEndpoint
from alerts.services.delivery import headers_of, replay_delivery
from alerts.services.endpoints import TYPES, add_endpoint, rotate_secret
from alerts.services.outbox import queue_sending
from usage import formats
from usage.admin.actions import ActionForm, confirmed
from usage.admin.base import ReadOnlyAdmin, actor_of, is_list
from usage.admin.by_service import AddedByService, ServiceForm
from usage.admin.columns import EMPTY, chosen, first_day, in_a_row, link, linked, list_link, structure
from usage.clocks import system_clock
from usage.rounding import shown_quantity
from usage.services.audit import Actor


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """In-app messages; those without a workspace stand in all of the account's."""

    list_display = ("at", "kind", "title", linked("workspace"), linked("account"), "metric", "sent")
    list_display_links = ("at", "title")
    list_filter = ("kind", "metric", "at", chosen("account"), chosen("workspace"))
    list_select_related = ("workspace", "account", "metric")
    search_fields = ("title", "account__key", "workspace__key")
    ordering = ("-pk",)
    fields = (
        "at",
        "kind",
        "title",
        "body",
        linked("account"),
        linked("workspace"),
        linked("metric"),
        "level_percent",
        "amounts",
        first_day("period", "billing period from"),
        "sent",
    )

    @admin.display(description="level", ordering="level")
    def level_percent(self, notification: Notification) -> str:
        return EMPTY if notification.level is None else f"{notification.level}%"

    @admin.display(description="e-mails and webhooks")
    def sent(self, notification: Notification) -> Any:
        return list_link("alerts_delivery", "Deliveries", notification__id__exact=notification.pk)

    @admin.display(description="reached")
    def amounts(self, notification: Notification) -> str:
        def shown(value: Any) -> str:
            if value is None:
                return EMPTY
            if notification.metric is None:
                return formats.money(value, notification.account.currency)
            return formats.number(shown_quantity(value, unit_size=notification.metric.unit_size))

        if notification.quantity is None:
            return EMPTY
        return f"{shown(notification.quantity)} of {shown(notification.threshold)}"


@admin.register(NotificationRead)
class NotificationReadAdmin(ReadOnlyAdmin):
    """Who has read what."""

    list_display = ("read_at", linked("user"), linked("notification"))
    list_filter = ("read_at", chosen("user"))
    list_select_related = ("user", "notification")
    search_fields = ("user__email", "notification__title")
    ordering = ("-pk",)


@confirmed(
    description="Replay…",
    text="The message is sent again, or at last, under its own Message-ID. Waiting ones are tried at once.",
)
def replay(modeladmin: Any, request: HttpRequest, delivery: Delivery, typed: dict[str, Any]) -> None:
    replay_delivery(delivery=delivery, now=system_clock(), by=actor_of(request))
    queue_sending()


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Every e-mail and webhook that was or will be sent, as it looks."""

    list_display = (
        "subject_or_type",
        "recipient",
        "state",
        "attempts",
        "created_at",
        "sent_at",
        "next_attempt",
        linked("account"),
        "channel",
    )
    list_filter = (
        "state",
        "channel",
        "created_at",
        chosen("account"),
        chosen("notification"),
        chosen("dispatch"),
        chosen("endpoint"),
    )
    list_select_related = ("account",)
    unlisted = ("html", "text", "payload")
    search_fields = ("recipient", "subject", "message_id", "account__key")
    ordering = ("-pk",)
    search_help_text = "Recipient, subject, Message-ID or account"
    actions = (replay,)
    fieldsets = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        if is_list(request):
            return rows
        return rows.select_related(
            "account", "notification", "dispatch__invoice", "endpoint", "document__invoice"
        ).defer("document__content")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "dispatch__invoice__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        message: tuple[Any, ...] = (structure("payload", "body"),)
        if obj is not None and obj.channel == Delivery.Channel.EMAIL:
            message = ("as_it_looks", "as_text")
        return [
            (None, {"fields": ("headers", "belongs_to")}),
            ("Message", {"fields": message}),
            ("State", {"fields": ("state", "attempts", "last_error", "created_at", "next_attempt", "sent_at")}),
        ]

    def get_urls(self) -> list[URLPattern]:
        view = csp_override(
            {
                "default-src": [CSP.NONE],
                "style-src": [CSP.UNSAFE_INLINE],
                "img-src": ["data:"],
                "frame-ancestors": [CSP.SELF],
            }
        )(xframe_options_sameorigin(self.admin_site.admin_view(self.show_html)))
        return [path("<int:pk>/html/", view, name="alerts_delivery_html"), *super().get_urls()]

    def show_html(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The message's HTML as a page of its own, for the frame. No script runs in it: sandboxed there, and by its
        own policy here."""
        delivery = Delivery.objects.filter(pk=pk).first()
        if delivery is None or not self.has_view_permission(request, delivery):
            raise Http404
        return HttpResponse(delivery.html)

    @admin.display(description="message", ordering="subject")
    def subject_or_type(self, delivery: Delivery) -> str:
        return delivery.subject or delivery.get_channel_display()

    @admin.display(description="next attempt", ordering="next_attempt_at")
    def next_attempt(self, delivery: Delivery) -> str:
        if delivery.state != Delivery.State.WAITING:
            return EMPTY
        return formats.local_minute(delivery.next_attempt_at, "UTC")

    @admin.display(description="headers")
    def headers(self, delivery: Delivery) -> Any:
        if delivery.channel == Delivery.Channel.WEBHOOK:
            return format_html(
                '<pre class="structure">POST {}\nwebhook-id: {}</pre>', delivery.recipient, delivery.message_id
            )
        try:
            lines = [f"{name}: {value}" for name, value in headers_of(delivery)]
        except ValueError as error:
            lines = [f"The message cannot be written: {error}"]
        if delivery.document is not None:
            lines.append(f"Attachment: {delivery.document.invoice.number}.pdf")
        return format_html('<pre class="structure">{}</pre>', "\n".join(lines))

    @admin.display(description="as it looks")
    def as_it_looks(self, delivery: Delivery) -> Any:
        if not delivery.html:
            return "no HTML"
        address = reverse("admin:alerts_delivery_html", args=[delivery.pk])
        return format_html(
            '<iframe class="message" sandbox="" src="{}" title="The message as it looks"></iframe>', address
        )

    @admin.display(description="as text")
    def as_text(self, delivery: Delivery) -> Any:
        return format_html('<pre class="structure">{}</pre>', delivery.text)

    @admin.display(description="belongs to")
    def belongs_to(self, delivery: Delivery) -> Any:
        found = [delivery.account, delivery.notification, delivery.endpoint]
        if delivery.dispatch is not None:
            found.append(delivery.dispatch.invoice)  # type: ignore[arg-type]
        return in_a_row(link(each) for each in found if each is not None)


class EndpointForm(ServiceForm):
    types = forms.MultipleChoiceField(
        choices=[(name, name) for name in TYPES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: all.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("account", "url", "types")

    def apply(self, by: Actor) -> WebhookEndpoint:
        typed = self.cleaned_data
        return add_endpoint(account=typed["account"], url=typed["url"], types=typed["types"], by=by)


class RotationForm(ActionForm):
    overlap = forms.ChoiceField(
        choices=[("0", "none"), ("3600", "an hour"), ("86400", "a day"), ("604800", "a week")],
        initial="86400",
        help_text="How long messages carry signatures by both secrets.",
    )


@confirmed(
    description="Replace the secret…",
    text="A new signing secret is made; the receiver must learn it before the overlap ends.",
    form=RotationForm,
)
def replace_secret(modeladmin: Any, request: HttpRequest, endpoint: WebhookEndpoint, typed: dict[str, Any]) -> str:
    overlap = timedelta(seconds=int(typed["overlap"]))
    rotate_secret(endpoint=endpoint, overlap=overlap, now=system_clock(), by=actor_of(request))
    return "has a new secret; it stands on the endpoint's page."


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(AddedByService):
    """Where accounts' systems listen. Private addresses are never sent to."""

    noun = "webhook"
    add_form = EndpointForm
    add_fields = ("account", "url", "types")
    list_display = ("url", linked("account"), "type_list", "is_on", "created_at", "sent")
    list_filter = ("is_on", chosen("account"))
    list_select_related = ("account",)
    search_fields = ("url", "account__key", "account__name")
    autocomplete_fields = ("account",)
    fields = ("url", "account", "type_list", "is_on", "secret", "previous_until", "created_at", "sent")
    readonly_fields = ("url", "account", "type_list", "secret", "previous_until", "created_at", "sent")
    actions = (replace_secret,)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Switch it off instead: what was sent to it stays readable."""
        return False

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """Its page has the secret that the receiver needs."""
        messages.success(request, "Added. Give the secret below to the receiver: it checks signatures with it.")
        return redirect("admin:alerts_webhookendpoint_change", obj.pk)

    @admin.display(description="types")
    def type_list(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.types) or "all"

    @admin.display(description="deliveries")
    def sent(self, endpoint: WebhookEndpoint) -> Any:
        return list_link("alerts_delivery", "Deliveries", endpoint__id__exact=endpoint.pk)
