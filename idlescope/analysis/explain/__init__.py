"""What every word of a result means, how it is measured, what usually causes it and what to do.

The one source of these texts: `idlescope explain`, the page's definitions, the tables of
analysis/README.md and the tools for agents all take them from here. Nothing heavy is imported.
"""
