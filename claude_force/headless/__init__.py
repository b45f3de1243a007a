"""Runs of agents: of programs such as `claude -p`, and of the Claude Agent SDK."""

from __future__ import annotations
