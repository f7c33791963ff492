"""Forms of the billing page."""

from __future__ import annotations

from django import forms

from usage.validators import validate_plain_text


class ContactForm(forms.Form):
    """A billing contact. The service checks again what only the database knows."""

    name = forms.CharField(label="Name", max_length=120, required=False, validators=[validate_plain_text])
    email = forms.EmailField(label="E-mail", max_length=254, validators=[validate_plain_text])
