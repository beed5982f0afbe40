"""The command line: parse, call one function, print. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys

from idlescope.errors import IdlescopeError


def main() -> None:
    """Run the command line; errors that the user can put right are one sentence and exit code 2."""
    from idlescope.cli.app import app

    try:
        app()
    except IdlescopeError as error:
        print(f"idlescope: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("idlescope: interrupted; nothing was recorded", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `head` does
        sys.exit(141)
