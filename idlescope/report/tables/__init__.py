"""Tables for the terminal, with the JSON and Markdown that hold the same."""
