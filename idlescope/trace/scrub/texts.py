"""Cut paths in texts to what is the same on every machine, so that they tell nobody's."""

from __future__ import annotations

import re

from idlescope.trace.scrub.counts import Scrubbed

CUT_PATHS = "leading folders of paths"
HIDDEN = "…"  # stands for a path of which nothing can stay

# /a/b, C:\a\b, \\host\share, ~user/a, ./a, ../a, with the user@host: of scp before it. Folders
# may have spaces in their names: rather too much is taken for a path than too little.
_PATH = re.compile(
    r"""(?:(?<![\w.@-])[\w.-]+@[\w.-]+:)?
        (?:(?<![\w/\\.~)\]}>-])(?:\.{1,2}[/\\]|~[\w.-]*[/\\]|/|\\\\)|(?<![\w:/\\])[A-Za-z]:[/\\])
        (?:[^/\\:;,"'<>|\r\n\t]*[/\\])*
        [^\s/\\:;,"'<>|()\[\]{}]*""",
    re.VERBOSE,
)
_INSTALLED = re.compile(r".*(?:/(?:site|dist)-packages/|/lib/python\d+(?:\.\d+)?/)")
_SUFFIX = (
    r"\w\.(?:py|pyc|pyi|pyx|so(?:\.\d+)*|dll|c|cc|cpp|cxx|cu|cuh|h|hpp|inl"
    r"|cubin|ptx|ttir|hip|js|rs|go|jl)"
)
_SOURCE_FILE = re.compile(rf"[\w.+-]*{_SUFFIX}")
# to search for: with what stands before it, the time is quadratic
_NAMES_SOURCE_FILE = re.compile(_SUFFIX)
_UUID = re.compile(r"^(GPU-|MIG-)?(?=[0-9a-fA-F])", re.ASCII)


# Labels of threads that tell nothing: pid:tid, `thread 426 (python3)`, `stream 7`, our own.
_GENERIC_THREAD = re.compile(
    r"(thread |stream )?-?\d+( of \d+)?( \((python[\d.]*|pt_\w+)\))?"
    r"|\S{0,40}:\d+|host|engine|GPU \d+|CPU|"
)


def is_generic(label: str) -> bool:
    """Return whether the label of a thread tells nothing but numbers, or that it is Python's."""
    return _GENERIC_THREAD.fullmatch(label.strip()) is not None


class Texts:
    """Cleans the texts of one trace: equal ones stay equal, and different names different."""

    def __init__(self, result: Scrubbed) -> None:
        self._result = result
        self._names: dict[str, str] = {}  # names -> what stands for them
        self._owners: dict[str, str] = {}  # what stands for a name, or could -> the name
        self._threads: dict[str, str] = {}  # labels -> what stands for them
        self._numbers: dict[str, int] = {}  # names cut -> the last number behind one
        self._identities: dict[str, int] = {}

    def text(self, text: str) -> str:
        """Return a text with its paths cut."""
        if "/" not in text and "\\" not in text:
            return text
        cleaned, count = _PATH.subn(lambda match: _cut(match[0]), text)
        if cleaned == text:
            return text
        self._result.remove(CUT_PATHS, count)
        return cleaned

    def thread(self, label: str) -> str:
        """Return the label of a thread: unless it is to be kept, a number for what tells more."""
        if self._result.kept.threads or is_generic(label):
            return label
        if label not in self._threads:
            self._threads[label] = f"thread {len(self._threads) + 1}"
            self._result.remove("names of threads")
        return self._threads[label]

    def name(self, name: str) -> str:
        """Return a name with its paths cut.

        Names that would become equal are told apart by a number.
        """
        found_name = self._names.get(name)
        if found_name is not None:
            return found_name
        cleaned = self.text(name)
        if cleaned == name and HIDDEN not in name and not _NAMES_SOURCE_FILE.search(name):
            # no other name can be cut to this one
            return self._names.setdefault(name, name)

        # number the names that are cut to the same one, until a candidate is this name's own
        candidate_number = self._numbers.get(cleaned, 1)
        candidate = cleaned if candidate_number == 1 else f"{cleaned} ({candidate_number})"
        while self._owners.setdefault(candidate, name) != name:
            candidate_number += 1
            candidate = f"{cleaned} ({candidate_number})"
        self._numbers[cleaned] = candidate_number
        self._names[name] = candidate
        return candidate

    def identity(self, identity: str) -> str:
        """Return an id that stands for a GPU's own: the same for the same GPU, and no more."""
        if not identity:
            return identity
        start = _UUID.match(identity)
        prefix = start[0] if start else ""
        bare_identity = identity.removeprefix(prefix).lower()
        if bare_identity not in self._identities:
            self._result.remove("serial numbers of GPUs")
        gpu_number = self._identities.setdefault(bare_identity, len(self._identities) + 1)
        return f"{prefix}00000000-0000-0000-0000-{gpu_number:012d}"


def _cut(path: str) -> str:
    slashed = path.replace("\\", "/")
    if not slashed.strip("/"):
        return path  # no path: a division, or a comment
    if installed := _INSTALLED.match(slashed):
        return slashed[installed.end() :] or HIDDEN
    file_name = slashed.rsplit("/", 1)[1]
    return file_name if _SOURCE_FILE.fullmatch(file_name) else HIDDEN
