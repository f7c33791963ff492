"""The fields of a record's page as Django's admin draws them, without a walk through a template for each.

Django's `includes/fieldset.html` and `edit_inline/tabular.html` ask a dozen questions of every field, each a node with
look-ups by name; a plan with its rates has a hundred fields. The HTML is Django's, to the letter but for white space.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin.templatetags.admin_modify import cell_count
from django.utils.html import format_html
from django.utils.safestring import SafeString


def field_lines(fieldset: Any) -> SafeString:
    """Labels and fields of a fieldset, a line for each."""
    return SafeString("".join(map(_line, fieldset)))


def inline_form_rows(inline: Any) -> SafeString:
    """The forms of a table of related rows (`InlineAdminFormSet`): those there are, and the one that new rows copy."""
    forms = list(inline)
    last = len(forms) - 1 if inline.has_add_permission else None
    rows = (_row(inline, form, "empty" if n == last else n) for n, form in enumerate(forms))
    return SafeString("".join(rows))


def _line(line: Any) -> SafeString:
    fields = list(line)
    is_alone = len(fields) == 1
    css = "" if is_alone else " flex-container form-multiline"
    css += "" if line.has_visible_field else " hidden"
    css += "".join(f" field-{name}" for name in map(_name_of, fields) if name)
    drawn = "".join(_field(field, is_alone=is_alone) for field in fields)
    return SafeString(f'<div class="form-row{css}">{drawn}</div>\n')


def _field(field: Any, *, is_alone: bool) -> SafeString:
    """`is_alone`: on its line."""
    is_fieldset = getattr(field, "is_fieldset", False)
    label = field.label_tag()
    errors = _errors(field)
    css = " errors" if errors else ""
    if not is_alone:
        css += " fieldBox"
        css += f" field-{_name_of(field)}" if _name_of(field) else ""
        css += " hidden" if _is_hidden(field) else ""
    if field.is_checkbox:
        css += " checkbox-row"
        top: Any = format_html('<div class="checkbox">{}{}</div>', field.field, "" if is_fieldset else label)
        below: Any = ""
    else:
        top = "" if is_fieldset else label
        below = format_html('<div class="readonly">{}</div>', field.contents()) if field.is_readonly else field.field
    drawn = format_html('<div class="flex-container{}">{}{}{}{}</div>', css, top, _help(field), errors, below)
    if not is_fieldset:
        return drawn
    about = format_html(' aria-describedby="{}_helptext"', field.field.id_for_label) if field.field.help_text else ""
    return format_html("<fieldset{}>{}{}</fieldset>", about, label, drawn)


def _errors(field: Any) -> Any:
    """None before anything was typed."""
    return field.errors() if not field.is_readonly and field.field.form.is_bound else ""


def _help(field: Any) -> SafeString:
    is_given = field.is_readonly
    text = field.field["help_text"] if is_given else field.field.help_text
    if not text:
        return SafeString("")
    ident = "" if is_given else field.field.id_for_label
    return format_html(
        '<div class="help{}"{}><div>{}</div></div>',
        " hidden" if _is_hidden(field) else "",
        format_html(' id="{}_helptext"', ident) if ident else "",
        SafeString(text),  # the code's own words, which may hold a link
    )


def _row(inline: Any, form: Any, place: int | str) -> SafeString:
    formset, original = inline.formset, form.original
    refused = form.form.non_field_errors()
    about = ""
    if refused:
        about = format_html('<tr class="row-form-errors"><td colspan="{}">{}</td></tr>', cell_count(form), refused)
    named: Any = format_html("<p>{}</p>", original) if original else ""
    keys = [form.pk_field().field] if form.needs_explicit_pk_field() else []
    foreign = form.fk_field()
    keys += [foreign.field] if foreign else []
    can_delete = formset.can_delete and inline.has_delete_permission and original
    return format_html(
        '{}<tr class="form-row {}{}" id="{}-{}"><td class="original">{}{}</td>{}<td class="delete">{}</td></tr>\n',
        about,
        "has_original" if original else "",
        " empty-form" if place == "empty" else "",
        formset.prefix,
        place,
        named,
        SafeString("".join(map(str, keys))),
        SafeString("".join(_cells(form))),
        form.deletion_field().field if can_delete else "",
    )


def _cells(form: Any) -> Iterator[SafeString]:
    for field in (field for fieldset in form for line in fieldset for field in line):
        css = f"field-{_name_of(field)}" if _name_of(field) else ""
        css += " hidden" if _is_hidden(field) else ""
        if field.is_readonly:
            yield format_html('<td class="{}"><p>{}</p></td>', css, field.contents())
        else:
            # Errors and widgets are HTML, and the name of a field is ours.
            yield SafeString(f'<td class="{css}">{_errors(field)}{field.field}</td>')


def _name_of(field: Any) -> str:
    return str(field.field["name"] if field.is_readonly else field.field.name)


def _is_hidden(field: Any) -> bool:
    return bool(field.field["is_hidden"] if field.is_readonly else field.field.is_hidden)
