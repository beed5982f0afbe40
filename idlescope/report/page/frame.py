"""A self-contained HTML page: it asks for nothing, and runs only its own script.

Text from a trace is escaped by the templates. A content security policy with the hashes of the
page's script and style forbids whatever else there could be.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from idlescope import __version__
from idlescope.report.page.content import Head
from idlescope.report.page.section import Content, Section
from idlescope.report.text import visible
from idlescope.trace.unseen import encodable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# What every fragment can use.
MACROS = "{% from 'macros.html.j2' import table, key, keys, chart, mark %}\n"


@dataclass(frozen=True)
class Scripted:
    """What a page's script works on."""

    document: dict[str, Any]
    columns: str
    perfetto: str  # a small trace as base64; may be empty


class _Rendered(NamedTuple):
    title: str
    body: Markup
    folded: bool
    hint: str


def write(
    path: Path,
    head: Head,
    sections: Sequence[Section[Content]],
    content: Content,
    scripted: Scripted | None = None,
) -> None:
    """Render a page into a file: its head, then each section that has something to say."""
    environment = _environment()
    templates = files("idlescope.report.page") / "templates"
    style_sheet = (templates / "report.css").read_text("utf-8")
    script = (templates / "report.js").read_text("utf-8") if scripted else ""
    page_text = environment.get_template("report.html.j2").render(
        head=head,
        sections=list(_rendered(environment, sections, content)),
        version=__version__,
        policy=_content_security_policy(style_sheet, script),
        style=style_sheet,
        script=script,
        scripted=scripted,
        document=_script_json(scripted.document) if scripted else "",
    )
    path.write_text(encodable(page_text), encoding="utf-8")


def _rendered(
    environment: Environment, sections: Sequence[Section[Content]], content: Content
) -> Iterator[_Rendered]:
    """Yield each section on its own, as markup."""
    from markupsafe import Markup

    for section in sections:
        data = section.fill(content)
        if data is None:
            continue
        fragment = environment.from_string(MACROS + section.fragment)
        body = Markup(fragment.render(**data))  # noqa: S704
        yield _Rendered(section.title, body, section.folded, data.get("hint", ""))


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

    script_source = source(script) if script else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; "
        f"script-src {script_source}; base-uri 'none'; form-action 'none'"
    )


def _script_json(document: dict[str, Any]) -> str:
    """Return JSON that may stand within a script element, whatever the texts in it are."""
    json_text = json.dumps(
        document, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    )
    return json_text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
