"""A database on a PostgreSQL server, through psycopg. SQLAlchemy speaks to it for migrations alone: importing it, and
its work for each statement, would take longer than most reports."""
