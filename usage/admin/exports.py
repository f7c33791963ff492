"""Any list of the admin as CSV: the rows that were ticked, or all that the filters leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from django.contrib import admin
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.http import HttpRequest, StreamingHttpResponse

from usage.csv_text import csv_lines

# What must not leave the database by a click, and bytes that no table shows.
SECRETS: Final = frozenset({"password", "secret", "previous_secret", "secret_hash", "payload", "content"})


@admin.action(description="Download as CSV", permissions=["view"])
def download_csv(modeladmin: Any, request: HttpRequest, queryset: Any) -> StreamingHttpResponse:
    """Streams the columns of the table, not those of the list; related rows by their id."""
    columns = [
        column
        for column in modeladmin.model._meta.concrete_fields
        if column.name not in SECRETS and not isinstance(column, models.BinaryField)
    ]
    names = [column.attname for column in columns]

    def rows() -> Iterator[tuple[Any, ...]]:
        for values in queryset.values_list(*names).iterator(chunk_size=2000):
            yield tuple(
                json.dumps(value, cls=DjangoJSONEncoder) if isinstance(value, dict | list) else value
                for value in values
            )

    answer = StreamingHttpResponse(csv_lines(names, rows()), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{modeladmin.opts.model_name}.csv"'
    return answer
