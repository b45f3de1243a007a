"""The dashboard: one reading of the database, drawn to fit a terminal, again and again."""
