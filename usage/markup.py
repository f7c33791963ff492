"""Elements written in one go: a usage page has some thousand of them, and as many words that must be escaped."""

from __future__ import annotations

from itertools import chain

from django.utils.html import escape


class Html(str):
    """Elements whose words are escaped already: templates take them as they are."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


class Markup:
    """Elements from the first to the last, and the words in them. An element is written by us and has a `{}` for each
    of its words, which may be anybody's."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.words: list[str] = []

    def add(self, element: str, *words: str) -> None:
        self.parts.append(element)
        self.words += words

    def html(self) -> Html:
        # Hundreds of words are escaped in one go: no text of the database holds a NUL.
        words = escape("\0".join(self.words)).split("\0")
        around = "".join(self.parts).split("{}")
        return Html("".join(chain.from_iterable(zip(around, [*words, ""], strict=False))))
