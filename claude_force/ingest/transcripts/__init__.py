"""Transcripts of Claude Code."""

from __future__ import annotations
