"""What people see of a run or a trace: tables, figures, the page, and the folders they are in."""
