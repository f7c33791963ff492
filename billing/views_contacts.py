"""Billing contacts, edited on the billing page with *Can manage billing* (spec 1.2, 1.4)."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from billing.forms import ContactForm
from billing.models import BillingContact
from billing.services.contacts import add_contact, change_contact, remove_contact
from config.web import drawer, is_fragment_request, saved
from usage.access import require_flag, restricted_page, shell_context, user_of, workspace_page
from usage.errors import Conflict, InvalidInput
from usage.models import Teammate, Workspace
from usage.permissions import restricted
from usage.services.audit import Actor

FLAG: Final = "can_manage_billing"
DOING: Final = "change billing contacts"


@require_http_methods(["GET", "POST"])
@workspace_page
def contact_add(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """A drawer with an empty form; saved, the contact gets every e-mail from then on."""
    _require(request, workspace)
    return _form(request, workspace, None)


@require_http_methods(["GET", "POST"])
@workspace_page
def contact_edit(request: HttpRequest, workspace: Workspace, contact_id: int) -> HttpResponse:
    """A drawer with the contact's name and address."""
    _require(request, workspace)
    return _form(request, workspace, _contact(workspace, contact_id))


@require_http_methods(["GET", "POST"])
@workspace_page
def contact_remove(request: HttpRequest, workspace: Workspace, contact_id: int) -> HttpResponse:
    """Asks first; the form of the question removes."""
    _require(request, workspace)
    contact = _contact(workspace, contact_id)
    if request.method == "GET":
        context = shell_context(request, workspace, "billing") | {
            "contact": contact,
            "is_last": workspace.account.billing_contacts.count() == 1,
            "action": reverse("contact_remove", args=[workspace.key, contact_id]),
            "close_url": reverse("billing", args=[workspace.key]),
        }
        return render(request, "billing/contact_remove.html", context)
    remove_contact(contact=contact, by=Actor.of_user(user_of(request)))
    return _done(request, workspace, f"{contact.name or contact.email} gets no more e-mails.")


@require_GET
@workspace_page
def billing_restricted(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The pop-up that a read-only control opens (spec 1.3)."""
    return restricted_page(request, restricted(workspace=workspace, flags=[FLAG], page="billing"), attempted=False)


def _require(request: HttpRequest, workspace: Workspace) -> None:
    require_flag(
        request,
        workspace,
        FLAG,
        doing=DOING,
        action="contact.refused",
        subject="billing contacts",
        page="billing",
        anywhere_in_account=True,
    )


def _contact(workspace: Workspace, contact_id: int) -> BillingContact:
    found = BillingContact.objects.filter(account_id=workspace.account_id, pk=contact_id).first()
    if found is None:
        raise Http404
    return found


def _form(request: HttpRequest, workspace: Workspace, contact: BillingContact | None) -> HttpResponse:
    initial = {"name": contact.name, "email": contact.email} if contact else {}
    form = ContactForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            return _done(request, workspace, _save(request, workspace, contact, form.cleaned_data))
        except (InvalidInput, Conflict) as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, refusal.detail)
    name, arguments = ("contact_edit", [workspace.key, contact.pk]) if contact else ("contact_add", [workspace.key])
    context = shell_context(request, workspace, "billing") | {
        "form": form,
        "contact": contact,
        "action": reverse(name, args=arguments),
        "close_url": reverse("billing", args=[workspace.key]),
    }
    return drawer(request, "billing/contact_drawer.html", context, has_errors=bool(form.errors))


def _save(request: HttpRequest, workspace: Workspace, contact: BillingContact | None, data: dict[str, Any]) -> str:
    by = Actor.of_user(user_of(request))
    if contact is not None:
        kept = change_contact(contact=contact, email=data["email"], name=data["name"], by=by)
        return f"Saved. {kept.name or kept.email} gets every alert, limit and invoice e-mail."
    # Somebody of the account who is added by their login's address is that teammate.
    teammate = Teammate.objects.filter(
        workspace__account_id=workspace.account_id, user__email__iexact=data["email"]
    ).first()
    added = add_contact(account=workspace.account, email=data["email"], name=data["name"], teammate=teammate, by=by)
    return f"Saved. {added.name or added.email} gets every alert, limit and invoice e-mail."


def _done(request: HttpRequest, workspace: Workspace, message: str) -> HttpResponse:
    if is_fragment_request(request):
        return saved(message=message, events={"billing:changed": {}, "popup:close": {}})
    messages.success(request, message)
    return redirect("billing", workspace_key=workspace.key)
