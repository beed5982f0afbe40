"""`python -m idlescope`."""

from idlescope.children.import_path import leave_current_folder

leave_current_folder()

from idlescope.cli import main  # noqa: E402 - nothing is imported before the folder is left

main()
