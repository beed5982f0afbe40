"""`idlescope explain`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from idlescope.cli.options import AsJson

# ruff: noqa: UP045 - typer reads these at run time, on Python 3.10, too
Word = Annotated[
    Optional[list[str]],
    typer.Argument(
        help="A verdict, a cause, what the host did, or a term; every word there is, unless given.",
        metavar="[VERDICT|CAUSE|TERM]",
        show_default=False,
    ),
]


def explain(word: Word = None, as_json: AsJson = False) -> None:
    """Say what a word of a result means, how it is measured, what usually causes it, what to do.

    What usually causes it is said of vLLM, SGLang, TensorRT-LLM and a loop of your own.
    """
    from idlescope.cli.actions.explain import explain_command

    explain_command(" ".join(word or ()), as_json)
