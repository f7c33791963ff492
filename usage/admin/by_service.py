"""Records of admin that services write: forms that call one, and the pages with such forms."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.http import HttpRequest

from usage.admin.base import HeadroomAdmin, PlainForm, actor_of
from usage.errors import HeadroomError
from usage.services.audit import Actor


class ServiceForm(PlainForm):
    """A form whose saving is one call of a service; its refusal stands beside the field it names.

    The call is the last step of validation, so that a refusal comes back with everything that was typed. It happens
    once: Django keeps the result of a validation.
    """

    request: ClassVar[HttpRequest]
    saved: Any = None

    def apply(self, by: Actor) -> Any:
        """Call the service and return the row."""
        raise NotImplementedError

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors or (self.instance.pk and not self.has_changed()):
            self.saved = self.instance
            return
        try:
            with transaction.atomic():
                self.saved = self.apply(actor_of(self.request))
        except HeadroomError as refusal:
            self.add_error(refusal.field if refusal.field in self.fields else None, refusal.detail)


class ServiceAdmin(HeadroomAdmin):
    """Adds and changes rows through a service, which audits; `form` and `add_form` are ServiceForms."""

    add_form: type[ServiceForm] | None = None
    add_fields: tuple[str, ...] = ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None and self.add_form is not None:
            kwargs["form"] = self.add_form
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"request": request})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None and self.add_fields:
            return [(None, {"fields": self.add_fields})]
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None and self.add_fields else super().get_readonly_fields(request, obj)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.saved

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form's service has saved it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        for formset in formsets:
            self.save_formset(request, form, formset, change=change)


class AddedByService(ServiceAdmin):
    """Adds rows through a service; the little that may change later needs none."""

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.save(commit=False) if change else form.saved

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            HeadroomAdmin.save_model(self, request, obj, form, change)
