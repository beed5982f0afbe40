"""The JSON documents that commands write, each with the struct that describes it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from idlescope.errors import ConfigError

# name -> module and struct, imported when asked for
DOCUMENTS = {
    "summary": ("idlescope.experiment.document", "Summary"),
    "analysis": ("idlescope.analysis.document", "Document"),
    "sweep": ("idlescope.experiment.document", "SweepDocument"),
    "comparison": ("idlescope.analysis.comparison.documents", "ComparisonsDocument"),
    "check": ("idlescope.analysis.comparison.documents", "ChecksDocument"),
    "watch": ("idlescope.watching.state", "WatchState"),
    "watched": ("idlescope.watching.view.document", "WatchedDocuments"),
    "explanations": ("idlescope.analysis.explain.document", "ExplanationsDocument"),
    "prediction": ("idlescope.analysis.prediction.documents", "PredictionsDocument"),
}


def struct_of(document: str) -> Any:
    """Return the struct that describes a document. Raises ConfigError for one that is not known."""
    if document not in DOCUMENTS:
        raise ConfigError(
            f"no document is called {document!r}: choose one of {', '.join(DOCUMENTS)}"
        )
    module_name, struct_name = DOCUMENTS[document]
    return getattr(import_module(module_name), struct_name)


def json_schema(document: str) -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a document.

    Raises ConfigError for one that is not known.
    """
    import msgspec

    schema_title = f"idlescope {document}"
    return {"title": schema_title, **msgspec.json.schema(struct_of(document))}
