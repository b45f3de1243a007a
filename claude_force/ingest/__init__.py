"""Ingest: from files (transcripts, JSONL, the spool) to executions in the database."""

from __future__ import annotations
