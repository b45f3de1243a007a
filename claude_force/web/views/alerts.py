"""Alerts now, the rules with their silences, and the transitions of a period."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force import clock
from claude_force.alerts import wording
from claude_force.alerts.inspection import MOST_TRANSITIONS, AlertHistory, AlertList, Explanation
from claude_force.alerts.rules import DEFAULTS, default_rule
from claude_force.formatting import NONE
from claude_force.reports.columns import Column
from claude_force.reports.html.tables import linked_alerts
from claude_force.reports.layouts.alerts import explain_page, history_page, sort_alerts
from claude_force.reports.render import Table
from claude_force.web.links import PERIOD, RULE, Links
from claude_force.web.view import Action, View, Visit
from claude_force.web.views.parts import ROWS, choices, link_column, word_of

_RULES = (Column("Rule", "name"), Column("Is", "text"), Column("Fires at", "name"))
_DAYS = {"1": "24 hours", "7": "7 days", "30": "30 days", "90": "90 days"}
_SILENCE, _END = (
    Action("/alerts/silence", "alerts silence", ("name", "for", "comment"), "/alerts"),
    Action("/alerts/unsilence", "alerts unsilence", ("name",), "/alerts"),
)


def _fill(visit: Visit) -> Mapping[str, Any]:
    listed: AlertList = visit.answer.report
    links, alerts = visit.links, sort_alerts(listed.found.alerts)
    return {
        "alerts": linked_alerts(alerts, links, listed.silences),
        "rules": _rules(listed, links),
        "silences": [
            {"name": name, "until": _minute(silence.until_us), "comment": silence.comment}
            for name, silence in listed.silences.items()
        ],
        "channels": ", ".join(listed.setup.channels),
        "problems": listed.setup.problems,
        "history": links.to(HISTORY.path),
        "end": _END.path,
    }


def _rules(listed: AlertList, links: Links) -> Table:
    """Every rule: those that are on, those that are switched off, and the default ones."""
    on = {rule.name: wording.condition(rule) for rule in listed.setup.rules}
    states = {**dict.fromkeys(DEFAULTS, "off"), **dict.fromkeys(listed.setup.off, "off"), **dict.fromkeys(on, "on")}
    ordered = sorted(states, key=lambda name: (states[name] != "on", name))
    rows = [[name, states[name], on.get(name) or _default(name)] for name in ordered]
    # A default budget has no threshold before somebody sets one, and is no rule until then.
    rules = {*on, *listed.setup.off, *(name for name in DEFAULTS if default_rule(name))}
    hrefs = (links.to(RULE, name=name) if name in rules else None for name in ordered)
    return link_column(Table(_RULES, rows), 0, hrefs)


def _default(name: str) -> str:
    return wording.default_condition(name) if name in DEFAULTS else NONE


def _minute(instant_us: int) -> str:
    return f"{clock.to_datetime(instant_us, clock.local_zone()):%Y-%m-%d %H:%M}"


def _fill_explanation(visit: Visit) -> Mapping[str, Any]:
    found: Explanation = visit.answer.report
    return {
        "title": found.rule.name,
        "found": explain_page(found),
        "condition": wording.condition(found.rule),
        "name": found.rule.name,
        "is_silenced": found.silence is not None,
        "silence": _SILENCE.path,
        "end": _END.path,
        "back": visit.links.to(VIEW.path),
    }


def _fill_history(visit: Visit) -> Mapping[str, Any]:
    found: AlertHistory = visit.answer.report
    return {
        "found": history_page(found, ()),
        "choices": [("Period", choices(visit.links, "days", _DAYS, word_of(visit, "days") or "7"))],
    }


VIEW = View("/alerts", "Alerts", "alerts list", "alerts.html", _fill, takes=())
EXPLAIN = View(
    RULE, "Alert rule", "alerts explain", "explain.html", _fill_explanation,
    navigation=False, takes=(), argument="name", below="/alerts",
)  # fmt: skip
HISTORY = View(
    "/alerts/history", "History of alerts", "alerts history", "command.html", _fill_history,
    defaults=({"limit": str(MOST_TRANSITIONS)},), navigation=False, takes=PERIOD, words=ROWS, below="/alerts",
)  # fmt: skip

ACTIONS = (_SILENCE, _END)
