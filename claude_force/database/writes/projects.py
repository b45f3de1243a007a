"""The repositories that ingestion found."""

from __future__ import annotations

from collections.abc import Mapping

from claude_force.database.contract import Connection


def remember_repositories(connection: Connection, repositories: Mapping[str, str]) -> None:
    """Store the repository of each folder."""
    connection.insert_all(
        "projects (folder, project)",
        list(repositories.items()),
        "ON CONFLICT (folder) DO UPDATE SET project = excluded.project",
    )
