"""Pictures of what the analysis found: tables, figures, a page, traces for other tools. No figure is computed here."""
