"""Which folders are results of ours: by what they say of themselves, and all that is in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from idlescope.plain_files import read_plain

# The documents of results, and entries that each has beside its schema.
DOCUMENTS = {
    "analysis.json": {"source", "devices"},
    "summary.json": {"config", "modes"},
    "comparison.json": {"comparisons"},
    "sweep.json": {"grid", "cells"},
    "check.json": {"holds", "checks", "trends"},
}
FIGURE = r"(timeline|causes|idle|gaps|cost|gain|comparison|trend)[\w.-]*\.(png|svg)"
# Everything that is written into the folder of a result, by its path there.
WRITTEN = re.compile(
    rf"{'|'.join(map(re.escape, DOCUMENTS))}"
    r"|report\.html|(comparison|trend)\.md|table\.(csv|parquet)"
    r"|(sync|async)(\.trace\.json\.gz|\.kineto\.json\.gz|\.nsys-rep)"
    r"|(sync|async)\.recording/(meta\.json|(operations|calls|ranges|samples)\.parquet)"
    rf"|figures/{FIGURE}"
    r"|cells/[\w.-]+-[0-9a-f]{12}\.json"
    r"|figures|cells|(sync|async)\.recording"
)


def is_ours(folder: Path) -> bool:
    """Return whether a folder holds a result of ours and nothing else, or nothing at all."""
    paths = list(folder.rglob("*"))
    names = [path.relative_to(folder).as_posix() for path in paths]
    if any(path.is_symlink() for path in paths) or not all(map(WRITTEN.fullmatch, names)):
        return False
    return not names or any(map(_says_so, (folder / name for name in DOCUMENTS)))


def _says_so(path: Path) -> bool:
    try:
        document = json.loads(read_plain(path))
    except (OSError, ValueError, RecursionError):
        return False
    has_schema = isinstance(document, dict) and isinstance(document.get("schema"), int)
    return has_schema and DOCUMENTS[path.name] <= document.keys()
