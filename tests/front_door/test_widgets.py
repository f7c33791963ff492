"""Form fields are drawn without templates and look as Django draws them."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates

from config.widgets import Renderer

CHOICES = [("", "–"), ("a", "A & B"), ("Group <1>", [("b", 'B "quoted"'), (3, "Three")])]


class Form(forms.Form):
    text = forms.CharField(max_length=20, initial='<b>"x"</b>', help_text="Help")
    mail = forms.EmailField(disabled=True)
    number = forms.DecimalField(min_value=0, initial=0)
    secret = forms.CharField(widget=forms.PasswordInput)
    hidden = forms.IntegerField(widget=forms.HiddenInput({"class": "x"}), initial=7)
    box = forms.BooleanField(initial=True)
    off = forms.BooleanField(required=False, widget=forms.CheckboxInput({"data-a": False, "aria-label": "Ünï & co"}))
    day = forms.DateField(required=False)
    address = forms.URLField(required=False, assume_scheme="https")
    chosen = forms.ChoiceField(choices=CHOICES, initial="b")
    several = forms.MultipleChoiceField(choices=CHOICES[:2], required=False, initial=["a"])
    radio = forms.ChoiceField(choices=CHOICES, widget=forms.RadioSelect)
    notes = forms.CharField(widget=forms.Textarea)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    "typed",
    [None, {}, {"text": "a'b", "number": "x", "box": "on", "chosen": "3", "several": ["a", "b"], "day": "<script>"}],
)
def test_fields_look_as_django_draws_them(typed: dict[str, Any] | None) -> None:
    ours = Form(typed, renderer=Renderer())
    django = Form(typed, renderer=DjangoTemplates())
    for field in Form.base_fields:
        assert lines(str(ours[field])) == lines(str(django[field])), field
        assert str(ours[field].errors) == str(django[field].errors), field
    assert lines(str(ours)) == lines(str(django))
