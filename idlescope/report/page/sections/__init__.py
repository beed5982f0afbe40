"""The sections of the page, one a file, each with its template fragment beside it."""
