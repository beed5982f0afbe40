"""`python -m idlescope`."""

from idlescope.cli import main

main()
