"""Inputs of admin's forms that take whatever is sent to them, and say what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect, RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest

from usage import strict_json


class ShortDecimalField(forms.DecimalField):
    """A number without the zeros that its column keeps."""

    def prepare_value(self, value: Any) -> Any:
        return format(value.normalize(), "f") if isinstance(value, Decimal) and value.is_finite() else value


class PlainJsonField(forms.JSONField):
    """JSON that a database can hold. Python also reads NaN, half characters and NUL, and Django would ask the database
    for them before any service has seen them; numbers of thousands of digits Python does not read at all."""

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except ValueError:
            return InvalidJSONInput(data)

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
            flaw = strict_json.first_flaw(strict_json.parse(json.dumps(found))[0])
        except ValueError:
            raise ValidationError(self.error_messages["invalid"], code="invalid", params={"value": value}) from None
        if flaw:
            raise ValidationError(f"This cannot be kept: {flaw}.", code="flaw")
        return found


class RowSelect(AutocompleteSelect):
    """A row that is searched for. What was sent and is no row's key shows nothing; Django asks the database for it."""

    @property
    def media(self) -> forms.Media:
        """Django's script would bring jQuery and Select2: twice as much as all the rest of a page."""
        return forms.Media(js=[forms.Script("js/search.js", type="module")])  # type: ignore[list-item]

    def optgroups(self, name: str, value: Sequence[str], attrs: Any = None) -> Any:
        keys = [each for each in value if not each or (str(each).isdecimal() and len(str(each)) < 19)]
        return super().optgroups(name, keys, attrs)


class TypedInputs:
    """For admin's pages and the tables on them: these inputs where their columns are typed into."""

    formfield_overrides: ClassVar[Any] = {
        models.DecimalField: {"form_class": ShortDecimalField},
        models.JSONField: {"form_class": PlainJsonField},
    }

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        here: Any = self
        if db_field.name in here.get_autocomplete_fields(request):
            kwargs.setdefault("widget", RowSelect(db_field, here.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The field alone: pop-ups to add or change what it names would take a page's weight in scripts."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field
