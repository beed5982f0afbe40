"""The errors that idlescope raises on purpose; the command line gives each an exit code."""

import re

LONG_WORD = 400  # characters, of a sentence: paths may be long
KEPT_OF_IT = 100  # characters at each of its ends
_ENDLESS_WORD = re.compile(
    rf"(\S{{{KEPT_OF_IT}}})\S{{{LONG_WORD - KEPT_OF_IT},}}?(\S{{{KEPT_OF_IT}}})(?!\S)"
)


class IdlescopeError(Exception):
    """Something the user can put right: says what is wrong, where, and what to do. Exit code 2."""

    exit_code = 2

    def __str__(self) -> str:
        """Return the sentence; of a word without end, as a number of 5,000 digits, both ends."""
        return _ENDLESS_WORD.sub(r"\1…\2", super().__str__())


class TraceError(IdlescopeError):
    """A trace file that cannot be read or holds nothing to analyse."""


class ConfigError(IdlescopeError):
    """An option, or a combination of options, that cannot be run."""


class ServerError(IdlescopeError):
    """A running server that cannot be reached, refuses, does not answer or leaves no trace."""


class OutputExistsError(IdlescopeError):
    """The output folder already holds a result."""


class EngineError(IdlescopeError):
    """The engine failed while a step was in flight; the message names the step. Exit code 1."""

    exit_code = 1
