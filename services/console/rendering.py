"""
Rendering: templates -> HTML.

A field that an answer of the API does not have counts as empty: older and newer APIs show fewer and more of them.
Everything that is put into a template is escaped unless the template itself is what makes it. Templates are compiled when the first
page is asked for, in a thread: a process that nobody looks at pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from services.console import showing

FOLDER: Final = Path(__file__).parent / "templates"


class Templates:
    """The console's templates. *now* is the wall clock in ms since 1970."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        self._environment.filters.update(
            when=self._when,
            duration=showing.duration,
            host=showing.host,
            short=showing.short,
            link=_link,
            coded=_coded,
        )
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def render(self, name: str, **values: Any) -> bytes:
        """Return template *name* with *values*."""
        return self._environment.get_template(name).render(**values).encode()

    def _when(self, text: str | None, *, relative: bool = True) -> Markup:
        """Return an instant as an element that the script shows in the viewer's zone; UTC without the script."""
        if not text:
            return Markup('<span class="none">–</span>')
        shown = Markup('<time datetime="{0}" title="{1}">{1}</time>').format(text, showing.utc(text))
        if not relative:
            return shown
        return shown + Markup(' <span class="soft">{}</span>').format(showing.relative(text, self._now()))


def _coded(text: str) -> Markup:
    """Return *text* with what stands between back quotes as code."""
    parts = [escape(part) for part in text.split("`")]
    shown = [Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts)]
    return Markup("").join(shown)


@pass_context
def _link(context: Context, place: str) -> str:
    """Return *place* below the console's path."""
    return f"{context['base']}{place}"
