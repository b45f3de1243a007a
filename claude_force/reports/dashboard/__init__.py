"""The terminal dashboard: `poller` reads snapshots of the database, `frame` draws each one to fit the terminal."""
