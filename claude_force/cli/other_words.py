"""Words of other programs and of everyday language, and what leads to the same here."""

from __future__ import annotations

import re
from pathlib import PurePath

import click

_MEANINGS = {
    "claude-force": (
        "init",
        "setup",
        "install",
        "login",
        "status",
        "overview",
        "home",
        "limit",
        "limits",
        "plan",
        "quota",
    ),
    "claude-force summary": ("stats", "stat", "usage", "totals", "info"),
    "claude-force daily": ("tokens",),
    "claude-force daily --last today": ("today", "now"),
    "claude-force daily --last yesterday": ("yesterday",),
    "claude-force costs": ("spend", "spending", "money", "bill", "savings"),
    "claude-force costs --by team": ("team", "teams", "chargeback", "invoice"),
    "claude-force what-if --batch": ("simulate", "cheaper", "alternatives"),
    "claude-force by-agent": ("subagent", "subagents", "sub-agents", "tasks"),
    "claude-force by-project": ("repo", "repos", "folders", "directories"),
    "claude-force errors": ("failure", "failures", "failed", "fails", "why"),
    "claude-force trends": ("growth",),
    "claude-force trends --interval hourly": ("hourly",),
    "claude-force dashboard": ("watch", "live", "top", "tui", "monitor"),
    "claude-force report": ("html", "page", "chart", "charts"),
    "claude-force serve": ("web", "browser", "server"),
    "claude-force export": ("csv", "excel", "xlsx", "spreadsheet", "dump", "download"),
    "claude-force ingest": ("sync", "refresh", "update", "scan", "read", "load", "collect"),
    "claude-force alerts edit daily-budget --threshold 20": ("warn", "warning", "notify"),
    "claude-force baseline check --label A --against B": ("compare", "experiment", "experiments", "labels"),
    "claude-force budgets": ("allowance",),
    "claude-force config path": ("where", "location", "folder"),
    "claude-force db distribute": ("citus", "shard", "shards"),
    "claude-force db sql": ("query", "select", "view", "views"),
    "claude-force export --format parquet --output FOLDER": ("parquet", "duckdb", "lake"),
    "claude-force db merge FILE": ("move", "migrate", "transfer", "join"),
    "claude-force doctor": ("health", "diagnose", "debug", "verify"),
    "claude-force config list": ("settings", "preferences"),
}
_COMMAND_OF = {word: line for line, words in _MEANINGS.items() for word in words}
_IN_GROUP = {
    ("claude-force config", "show"): "claude-force config list",
    ("claude-force alerts", "set"): "claude-force alerts edit NAME --threshold NUMBER",
    ("claude-force db", "where"): "claude-force db path",
    ("claude-force db", "info"): "claude-force db check",
    ("claude-force db", "move"): "claude-force db merge FILE",
}
"""What a word means in one group only."""

_OPTIONS = {
    "--csv": "--format csv",
    "--markdown": "--format markdown",
    "--md": "--format markdown",
    "--jsonl": "--format jsonl",
    "-f": "--format",
    "-o": "--output",
    "--out": "--output",
    "--file": "--output",
    "-d": "--days",
    "-m": "--model",
    "-a": "--agent",
    "-p": "--project",
    "-n": "--limit",
    "-l": "--limit",
    "--top": "--limit",
    "--number": "--limit",
    "--order": "--asc or --desc",
    "--reverse": "--asc or --desc",
    "--sort": "--sort-by",
    "--today": "--last today",
    "--yesterday": "--last yesterday",
    "--week": "--last week",
    "--month": "--last month",
    "--from": "--since",
    "--after": "--since",
    "--to": "--until",
    "--before": "--until",
    "--tz": "--timezone",
    "--daily": "--interval daily",
    "--weekly": "--interval weekly",
    "--monthly": "--interval monthly",
    "--repo": "--project",
    "--database": "--db",
    "-v": "--version",
    "-y": "--yes",
}
_RULE_OPTIONS = ("--threshold", "--above", "--below")
_PERIOD = re.compile(r"\d+[dhw]?|today|yesterday|week|month")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")


def command_line(group: str, word: str) -> str:
    """The hint for a word that no command is called, such as "Try 'claude-force errors'."; "" if it means nothing.
    `group` is the path of the group where it was typed."""
    at_top = _COMMAND_OF.get(word.lower()) if group in ("claude-force", "claude-force analytics") else None
    line = _IN_GROUP.get((group, word.lower()), at_top)
    return f"Try '{line}'." if line else ""


def option(command: click.Command, name: str) -> str:
    """The hint for an option that the command does not have; "" unless the command has what it means."""
    if command.name == "enable" and name in _RULE_OPTIONS:
        return f"Try 'claude-force alerts edit NAME {name} NUMBER'."
    meant = _OPTIONS.get(name)
    return f"Try '{meant}'." if meant and meant.split()[0] in _names(command) else ""


def argument(command: click.Command, value: str) -> str:
    """The hint for one argument too many: the option that takes such a value; "" if the command has none."""
    options = _names(command)
    meant = ""
    if "--last" in options and _PERIOD.fullmatch(value):
        meant = f"--last {value}d" if value.isdigit() else f"--last {value}"
    elif "--since" in options and _DATE.fullmatch(value):
        meant = f"--since {value} --until {value}"
    elif "--output" in options and PurePath(value).suffix:
        meant = f"--output {value}"
    elif command.name == "sessions":
        meant = f"--session {value}"
    elif command.name and command.name.startswith("by-") and (own := f"--{command.name[3:]}") in options:
        meant = f"{own} {value}"
    return f"Try '{meant}'." if meant else ""


def _names(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}
