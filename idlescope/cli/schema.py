"""`idlescope schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from idlescope.cli.documents import DOCUMENTS
from idlescope.cli.suggestions import one_of

DocumentName = Annotated[
    str,
    typer.Argument(
        help=f"One of {', '.join(DOCUMENTS)}.", autocompletion=one_of(DOCUMENTS)
    ),
]


def schema(document: DocumentName) -> None:
    """Print the JSON schema of a document that idlescope writes."""
    import sys

    from idlescope.cli.documents import json_schema
    from idlescope.report.text import to_text

    sys.stdout.write(to_text(json_schema(document)))
