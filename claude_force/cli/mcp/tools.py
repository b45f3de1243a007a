"""The tools: which command each asks, which of its options it offers, and what its answer holds.

| what               | where it comes from                                                  |
|--------------------|----------------------------------------------------------------------|
| the input schema   | the options of the command: names, kinds, limits and help            |
| the answer         | the JSON of the command                                              |
| the output schema  | the keys of this JSON that the tool promises                         |

Titles and descriptions have the words that one asks with: cost, tokens, usage, money, slow, failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from claude_force.cli.root import cli
from claude_force.database.views import VIEWS
from claude_force.text import kind_of

Schema = dict[str, Any]

PERIOD = ("days", "since", "until")
WHO = ("project", "agent", "model", "session", "branch", "host", "user")
MONEY = "Costs are US dollars of API prices; null is unknown, never zero."

BY = {
    "agent": "by-agent",
    "model": "by-model",
    "project": "by-project",
    "branch": "by-branch",
    "session": "sessions",
    "workflow": "by-workflow",
    "host": "by-host",
    "user": "by-user",
    "day": "daily",
    "week": "weekly",
    "month": "monthly",
}
"""The command of each dimension of `usage_by`."""


@dataclass(frozen=True)
class Tool:
    """A tool that asks a command. `options` are those of the command that it offers, `fixed` are always given, and
    `promised` are keys of each answer. `choices` are the commands to choose from, by the values of `choice`. `argument`
    is the argument of the command, and what it is."""

    name: str
    title: str
    description: str
    command: str
    options: tuple[str, ...] = (*PERIOD, *WHO)
    fixed: Mapping[str, str | int | bool] = field(default_factory=dict)
    promised: tuple[str, ...] = ()
    choice: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    argument: tuple[str, str] | None = None

    def command_of(self, arguments: Mapping[str, Any]) -> str:
        """The command that answers these arguments. Raises ValueError for a choice that there is not."""
        if self.choice is None:
            return self.command
        chosen = str(arguments.get(self.choice))
        if chosen not in self.choices:
            raise ValueError(f"{self.choice} is one of: {', '.join(self.choices)}")
        return self.choices[chosen]

    def options_of(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the command for these arguments. Raises ValueError for one that the tool does not offer, and
        for a value of another kind than its schema says. null is an argument that is not given."""
        beside = (self.choice, self.argument and self.argument[0])
        given = {name: value for name, value in arguments.items() if name not in beside and value is not None}
        if unknown := sorted(given.keys() - set(self.options)):
            offered = ", ".join(self.options) or "no arguments"
            raise ValueError(f"{self.name} takes no {unknown[0][:40]!r}; it takes {offered}")
        return {
            **self.fixed,
            **{name: _value(name, _option(self.command, name), value) for name, value in given.items()},
        }

    def argument_of(self, arguments: Mapping[str, Any]) -> str | None:
        """The argument of the command; None if it takes none. Raises ValueError if it is missing, or no text."""
        if self.argument is None:
            return None
        name, _ = self.argument
        value = _text(name, arguments.get(name, ""))
        if not value:
            raise ValueError(f"{self.name} needs {name}")
        return value

    def input_schema(self) -> Schema:
        """JSON Schema of the arguments."""
        properties = {name: _schema_of(_option(self.command, name)) for name in self.options}
        chosen = {}
        if self.choice:
            chosen = {self.choice: {"type": "string", "enum": list(self.choices), "description": "What to group by."}}
        if self.argument:
            chosen = {self.argument[0]: {"type": "string", "description": self.argument[1]}}
        return {
            "type": "object",
            "properties": chosen | properties,
            "required": list(chosen),
            "additionalProperties": False,
        }

    def output_schema(self) -> Schema:
        """JSON Schema of the answer, which has more than it promises: docs/how-to/mcp.md."""
        return {"type": "object", "required": list(self.promised), "properties": {name: {} for name in self.promised}}


def _option(command: str, name: str) -> click.Option:
    """An option of a command, by its name."""
    found: click.Command | None = cli
    for word in command.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    return next(
        each for each in found.params if isinstance(each, click.Option) and f"--{name.replace('_', '-')}" in each.opts
    )


def _value(name: str, option: click.Option, value: Any) -> bool | str | list[str]:
    """The value of an option for an argument. Text that says a number is as good as the number, and one name as good as
    a list of it; the command reads both. Raises ValueError for another kind."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, not {kind_of(value)}")
        return value
    if option.multiple and isinstance(value, list):
        return [_text(f"each {name}", each) for each in value]
    return _text(name, value)


def _text(name: str, value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # Not isinstance: in Python, True is an int.
    if type(value) not in (str, int):
        raise ValueError(f"{name} must be text or a whole number, not {kind_of(value)}")
    if "\0" in str(value):
        raise ValueError(f"{name} must not hold a NUL character")
    return str(value)


def _schema_of(option: click.Option) -> Schema:
    text = (option.help or "").removesuffix(" Repeatable.")
    schema: Schema
    if option.is_flag:
        schema = {"type": "boolean"}
    elif isinstance(option.type, click.IntRange):
        limits = {"minimum": option.type.min, "maximum": option.type.max}
        schema = {"type": "integer", **{name: limit for name, limit in limits.items() if limit is not None}}
    elif isinstance(option.type, click.Choice):
        schema = {"type": "string", "enum": list(option.type.choices)}
    else:
        schema = {"type": "string"}
    return (
        {"type": "array", "items": schema, "description": text} if option.multiple else schema | {"description": text}
    )


_VIEWS = "; ".join(f"{view.name} ({', '.join(column.name for column in view.columns)})" for view in VIEWS)

TOOLS = (
    Tool(
        "usage_summary", "Usage summary: tokens and cost",
        "How much was used in a period: total cost, tokens of every kind, executions (model requests), success rate, "
        f"latency, by agent and by model. {MONEY}",
        "summary",
        promised=("period", "total_executions", "total_cost", "total_tokens", "success_rate", "agents", "models"),
    ),
    Tool(
        "usage_by", "Usage and cost by agent, model, project, day ...",
        "Compare what was used: cost, tokens, executions, success rate and time for each agent, model, project, "
        f"branch, session, workflow, host (machine), user (person), day, week or month. {MONEY}",
        "by-agent", (*PERIOD, *WHO, "limit"),
        promised=("period", "totals"), choice="dimension", choices=BY,
    ),
    Tool(
        "cost_of_session", "Cost of a session",
        "What a session of Claude Code cost so far, with all its sub-agents: cost, tokens, duration, models. Without "
        f"`session` it is the last one of the project; give `project` the working folder for your own. {MONEY}",
        "sessions", ("session", "project"), {"limit": 1},
        promised=("sessions", "totals"),
    ),
    Tool(
        "runs", "Runs: the last tasks of agents, with outcome and cost",
        f"The last runs (a prompt, a sub-agent, a headless run): agent, time, requests, tokens, cost, outcome. {MONEY}",
        "runs", (*PERIOD, *WHO, "limit"),
        promised=("runs", "totals"),
    ),
    Tool(
        "cost_per_success", "Cost per success, and wasted money",
        "What a successful run costs by agent, workflow, model or project: success rate with its interval, money and "
        f"time per success, money wasted on failed, refused and retried work. {MONEY}",
        "outcomes", ("by", *PERIOD, *WHO, "limit"), {"by": "agent"},
        promised=("totals",),
    ),
    Tool(
        "what_if", "What would it cost on another model?",
        "The same tokens at the prices of another model (`model`, in place of `for_model`), as a batch, or with "
        "another cache policy: actual cost, what-if cost, difference, what is assumed, and the success of both.",
        "what-if", ("model", "for_model", "batch", "cache", *PERIOD, "project", "agent", "session", "branch"),
    ),
    Tool(
        "budgets", "Budgets: spent, and forecast",
        "How much of each budget of money is spent, the forecast for its period, and when it will be used up.",
        "budgets", (),
        promised=("budgets",),
    ),
    Tool(
        "errors", "Errors: what failed, and how often",
        "Failed executions by error type (rate_limit, overloaded, refusal ...): how many, first and last.",
        "errors", (*PERIOD, *WHO, "limit"),
        promised=("failed_executions", "errors"),
    ),
    Tool(
        "slowest", "Slowest agents",
        "Agents by average time of an execution, the slowest first, with percentiles of latency.",
        "by-agent", (*PERIOD, *WHO, "limit"), {"sort-by": "time"},
        promised=("agents", "totals"),
    ),
    Tool(
        "trend", "Trend of cost, tokens and success over time",
        f"Executions, cost, tokens, time and success for each hour, day, week or month, and whether they rise. {MONEY}",
        "trends", (*PERIOD, *WHO, "interval", "limit"),
        promised=("interval", "trends", "change"),
    ),
    Tool(
        "costs", "Costs, and why some are unknown",
        "Costs by agent and by model, executions without a known price with the reason, and what the same tokens cost "
        f"on the reference model. {MONEY}",
        "costs", (*PERIOD, *WHO, "limit"),
        promised=("total_cost", "unpriced_executions", "unpriced_reasons", "by_agent", "by_model"),
    ),
    Tool(
        "quota", "Plan limits and five-hour blocks",
        "How much of the five-hour and weekly limits of a Claude subscription is used, when they reset, and the use of "
        "each five-hour block.",
        "blocks", ("limit",), {"recent": True},
        promised=("plan_limits", "blocks"),
    ),
    Tool(
        "alerts", "Alerts: rules and what fires now",
        "The alert rules, the state of each, which of them fire, and which are silenced.",
        "alerts list", (),
        promised=("alerts", "silences"),
    ),
    Tool(
        "baseline_status", "Baseline check: is it worse than before?",
        "Compare a period with a saved baseline: time, cost, success and tokens, with what is significantly worse.",
        "baseline check", ("baseline", *PERIOD, *WHO), {"allow-empty": True},
    ),
    Tool(
        "reconcile", "Reconcile: what other sources say it cost",
        "Compare the stored cost with what Claude Code itself, telemetry and transcripts say: what is missing, why.",
        "reconcile", (*PERIOD, "project", "session", "limit"),
        promised=("sessions", "reasons"),
    ),
    Tool(
        "sql", "SQL: what no other tool answers",
        "Answer one SELECT over the views of the store. Money is US dollars, time is UTC, null is unknown. "
        f"daily_v1 is fast and has archived executions. Views and columns: {_VIEWS}.",
        "db sql", ("limit", "timeout"), {"limit": 100},
        promised=("columns", "rows", "rows_at_least", "cut_at"),
        argument=("query", "One statement, in the SQL of SQLite, or of PostgreSQL if the store is on a server."),
    ),
    Tool(
        "doctor", "Doctor: is the data complete and fresh?",
        "Problems of the store and its sources, each with its remedy: unread files, rejected lines, age of the data.",
        "doctor", (),
        promised=("findings", "ages"),
    ),
)  # fmt: skip
