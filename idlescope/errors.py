"""The errors that idlescope raises on purpose; the command line gives each an exit code."""


class IdlescopeError(Exception):
    """Something the user can put right: says what is wrong, where, and what to do. Exit code 2."""

    exit_code = 2


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
