"""The report as one self-contained HTML page, which asks for nothing and runs only its own script.

Text from a trace is escaped by the templates. A content security policy with the hashes of the
page's script and style forbids whatever else there could be.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idlescope import __version__
from idlescope.export.perfetto import excerpt
from idlescope.palette import CAUSE
from idlescope.report.page import timeline
from idlescope.report.page.content import Page
from idlescope.report.page.pictures import embed
from idlescope.report.page.section import Material, Section
from idlescope.report.page.sections.order import SECTIONS
from idlescope.report.text import encodable, visible

if TYPE_CHECKING:
    from jinja2 import Environment

# What every fragment can use.
MACROS = "{% from 'macros.html.j2' import table, key, figure %}\n"


def write(page: Page, path: Path, sections: Sequence[Section] = SECTIONS) -> None:
    """Render the page into a file."""
    from markupsafe import Markup

    environment = _environment()
    templates = files("idlescope.report.page") / "templates"
    style_sheet, script = (
        (templates / template_name).read_text("utf-8")
        for template_name in ("report.css", "report.js")
    )
    packed = timeline.pack(page.lines) if page.lines else None
    material = Material(page, embed(page.figures), packed)

    # each section on its own, then all of them in the page's frame
    rendered = []
    for section in sections:
        section_data = section.fill(material)
        if section_data is not None:
            fragment = environment.from_string(MACROS + section.fragment)
            rendered.append((section.title, Markup(fragment.render(**section_data))))  # noqa: S704
    page_text = environment.get_template("report.html.j2").render(
        page=page,
        sections=rendered,
        version=__version__,
        policy=_content_security_policy(style_sheet, script),
        style=style_sheet,
        script=script,
        timeline=packed,
        document=_script_json(_document(packed)) if packed else "",
        perfetto=_perfetto_excerpt(page),
    )
    path.write_text(encodable(page_text), encoding="utf-8")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader("idlescope.report.page"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _printable(value: Any) -> Any:
    """Return a value as templates print it: text without what acts, markup as it is."""
    is_markup = hasattr(value, "__html__")
    return visible(value) if isinstance(value, str) and not is_markup else value


def _content_security_policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; "
        f"script-src {source(script)}; base-uri 'none'; form-action 'none'"
    )


def _document(packed: timeline.PackedTimeline) -> dict[str, Any]:
    """Return what the script reads: the timeline's document, and causes by colour."""
    return packed.document | {"causes": {colour: cause for cause, colour in CAUSE.items()}}


def _script_json(document: dict[str, Any]) -> str:
    """Return JSON that may stand within a script element, whatever the texts in it are."""
    json_text = json.dumps(
        document, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    )
    return json_text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _perfetto_excerpt(page: Page) -> str:
    """Return the trace around the worst gap of the line that idles most, as base64."""
    if not page.lines:
        return ""
    idlest_line = max(page.lines, key=lambda line: line.result.idle_pct)
    return base64.b64encode(
        excerpt.packed(idlest_line.trace, idlest_line.result).data
    ).decode()
