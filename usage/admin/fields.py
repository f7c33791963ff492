"""The fields of a record's page as Django's admin draws them, without a walk through a template for each.

Django's `includes/fieldset.html` and `edit_inline/tabular.html` ask a dozen questions of every field, each a node with
look-ups by name; a plan with its rates has a hundred fields. The HTML is Django's, to the letter but for white space.
Labels, fields, errors and what can only be read come as HTML, and names are ours: all else is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from django.contrib.admin.templatetags.admin_modify import cell_count
from django.utils.safestring import SafeString
from django.utils.text import capfirst


def field_lines(fieldset: Any) -> SafeString:
    """Labels and fields of a fieldset, a line for each."""
    return SafeString("".join(map(_line, fieldset)))


def inline_form_rows(inline: Any) -> SafeString:
    """The forms of a table of related rows (`InlineAdminFormSet`): those there are, and the one that new rows copy."""
    forms = list(inline)
    last = len(forms) - 1 if inline.has_add_permission else None
    rows = (_row(inline, form, "empty" if n == last else n) for n, form in enumerate(forms))
    return SafeString("".join(rows))


def _line(line: Any) -> str:
    fields = list(line)
    is_alone = len(fields) == 1
    css = "" if is_alone else " flex-container form-multiline"
    css += "" if line.has_visible_field else " hidden"
    css += "".join(f" field-{name}" for name in map(_name_of, fields) if name)
    drawn = "".join(_field(field, is_alone=is_alone) for field in fields)
    return f'<div class="form-row{css}">{drawn}</div>\n'


def _field(field: Any, *, is_alone: bool) -> str:
    """`is_alone`: on its line."""
    is_fieldset = getattr(field, "is_fieldset", False)
    label = _label(field)
    errors = _errors(field)
    css = " errors" if errors else ""
    if not is_alone:
        css += " fieldBox"
        css += f" field-{_name_of(field)}" if _name_of(field) else ""
        css += " hidden" if _is_hidden(field) else ""
    top = "" if is_fieldset else label
    if field.is_checkbox:
        css += " checkbox-row"
        top, below = f'<div class="checkbox">{field.field}{top}</div>', ""
    elif field.is_readonly:
        below = f'<div class="readonly">{field.contents()}</div>'
    else:
        below = field.field
    drawn = f'<div class="flex-container{css}">{top}{_help(field)}{errors}{below}</div>'
    if not is_fieldset:
        return drawn
    about = f' aria-describedby="{field.field.id_for_label}_helptext"' if field.field.help_text else ""
    return f"<fieldset{about}>{label}{drawn}</fieldset>"


def _label(field: Any) -> str:
    if not field.is_readonly:
        return str(field.label_tag())
    css = "" if field.is_first else ' class="inline"'
    return f"<label{css}>{escape(str(capfirst(field.field['label'])))}{field.form.label_suffix}</label>"


def _errors(field: Any) -> Any:
    """None before anything was typed."""
    return field.errors() if not field.is_readonly and field.field.form.is_bound else ""


def _help(field: Any) -> str:
    is_given = field.is_readonly
    text = field.field["help_text"] if is_given else field.field.help_text
    if not text:
        return ""
    ident = "" if is_given else field.field.id_for_label
    css = " hidden" if _is_hidden(field) else ""
    # The code's own words, which may hold a link.
    return f'<div class="help{css}"{f' id="{ident}_helptext"' if ident else ""}><div>{text}</div></div>'


def _row(inline: Any, form: Any, place: int | str) -> str:
    formset, original = inline.formset, form.original
    refused = form.form.non_field_errors()
    about = ""
    if refused:
        about = f'<tr class="row-form-errors"><td colspan="{cell_count(form)}">{refused}</td></tr>'
    named = f"<p>{escape(str(original))}</p>" if original else ""
    keys = [form.pk_field().field] if form.needs_explicit_pk_field() else []
    foreign = form.fk_field()
    keys += [foreign.field] if foreign else []
    can_delete = formset.can_delete and inline.has_delete_permission and original
    css = ("has_original" if original else "") + (" empty-form" if place == "empty" else "")
    return (
        f'{about}<tr class="form-row {css}" id="{formset.prefix}-{place}">'
        f'<td class="original">{named}{"".join(map(str, keys))}</td>{"".join(_cells(form))}'
        f'<td class="delete">{form.deletion_field().field if can_delete else ""}</td></tr>\n'
    )


def _cells(form: Any) -> Iterator[str]:
    for field in (field for fieldset in form for line in fieldset for field in line):
        css = f"field-{_name_of(field)}" if _name_of(field) else ""
        css += " hidden" if _is_hidden(field) else ""
        if field.is_readonly:
            yield f'<td class="{css}"><p>{field.contents()}</p></td>'
        else:
            yield f'<td class="{css}">{_errors(field)}{field.field}</td>'


def _name_of(field: Any) -> str:
    return str(field.field["name"] if field.is_readonly else field.field.name)


def _is_hidden(field: Any) -> bool:
    return bool(field.field["is_hidden"] if field.is_readonly else field.field.is_hidden)
