"""The tables of the page: agents, projects, models, errors, baseline and alerts. A last row sums up long tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claude_force.alerts.evaluation import Alert
from claude_force.alerts.wording import rule_of
from claude_force.analytics.baselines import Check
from claude_force.analytics.json_fields import TITLES
from claude_force.analytics.labels import project_labels
from claude_force.analytics.report_types import Breakdown, Errors
from claude_force.database.rows.alerts import Silence
from claude_force.executions.totals import Archived, Group, Totals
from claude_force.formatting import NONE, count, duration, money, percent, quantity
from claude_force.reports.columns import Column
from claude_force.reports.html.content import MOST_EVENTS, Content, sum_groups
from claude_force.reports.html.linked import NO_LINKS, PageLinks
from claude_force.reports.layouts.alerts import alerts_table, events_table, sort_alerts
from claude_force.reports.layouts.analytics import error_cells
from claude_force.reports.layouts.baselines import result_cells
from claude_force.reports.render import Table

MOST_ROWS = 20
"""Rows of a table of names. All others are one more row."""


class Part(NamedTuple):
    """A section of the page: a heading, sentences, and tables with their titles."""

    key: str
    heading: str
    tables: Sequence[tuple[str, Table]]
    remarks: Sequence[str] = ()


def parts(content: Content, links: PageLinks = NO_LINKS) -> list[Part]:
    """The sections below the charts. Names lead where `links` says."""
    found = [_groups(breakdown, links) for breakdown in (content.agents, content.projects, content.models)]
    found += [_of_team(breakdown, content.summary.archived, links) for breakdown in content.team]
    found += [_errors(content.errors)]
    found += [_check(content.check)] if content.check else []
    return [*found, alerts_part(content, links)]


def _groups(report: Breakdown, links: PageLinks) -> Part:
    """The groups, the most expensive first."""
    title = TITLES[report.dimension]
    columns = [
        Column(title.capitalize(), "name"), Column("Cost"), Column("Share of cost"), Column("Executions"),
        Column("Success rate"), Column("Avg time"), Column("P95 time"), Column("Tokens"),
    ]  # fmt: skip
    listed, rest = report.groups[:MOST_ROWS], report.groups[MOST_ROWS:]
    names = project_labels(group.name for group in listed if group.name) if report.dimension == "project" else {}

    def cell(name: str | None) -> str:
        return links.name(report.dimension, name, names.get(name, name)) if name else f"(no {title})"

    rows = [[cell(group.name), *_cells(group, report.totals)] for group in listed]
    remarks = [] if report.is_exact else ["P95 is within 1%."]
    if rest:
        rows.append([f"other ({count(len(rest))})", *_cells(Group(None, sum_groups(rest)), report.totals)])
        remarks.append(
            f"The {MOST_ROWS} most expensive of {quantity(report.count, title)}; the last row has all others."
        )
    heading = f"{title.capitalize()}s"
    return Part(f"{title}s", heading, [(f"{heading} by cost", Table(columns, rows))], remarks)


def _of_team(report: Breakdown, archived: Archived, links: PageLinks) -> Part:
    """The groups of hosts or of users. `archived` are the executions that the rest of the page counts, unless it is
    about some hosts or users itself: then a note of the page says what all tables lack."""
    part = _groups(report, links)
    if not (archived.is_counted and archived.executions):
        return part
    title = TITLES[report.dimension]
    lacking = f"Without {quantity(archived.executions, 'archived execution')}, of which no {title} is known."
    return part._replace(remarks=[*part.remarks, lacking])


def _cells(group: Group, all_totals: Totals) -> list[str]:
    totals, ranked = group.totals, group.percentiles
    p95_us = ranked.p95_us if ranked else None
    is_shared = totals.is_priced and all_totals.cost_nanousd
    return [
        money(totals.cost),
        percent(100 * totals.cost_nanousd / all_totals.cost_nanousd if is_shared else None),
        count(totals.executions),
        percent(totals.success_rate),
        duration(totals.average_ms),
        duration(None if p95_us is None else p95_us / 1000),
        count(totals.total_tokens),
    ]


def _errors(report: Errors) -> Part:
    failures = report.totals.failures
    if not report.groups:
        return Part("errors", "Errors", [], ["Nothing failed."])
    columns = [Column("Error", "name"), Column("Failures"), Column("Share"), Column("Agents"),
               Column("Last seen", "text")]  # fmt: skip
    listed, rest = report.groups[:MOST_ROWS], report.groups[MOST_ROWS:]
    rows = [error_cells(group, report) for group in listed]
    remarks = [f"{quantity(failures, 'execution')} of {count(report.totals.executions)} failed."]
    if rest:
        others = sum(group.failures for group in rest)
        rows.append([f"other ({count(len(rest))})", count(others), percent(100 * others / failures), NONE, NONE])
        remarks.append(
            f"The {MOST_ROWS} most frequent of {quantity(report.count, 'type')}; the last row has all others."
        )
    return Part("errors", "Errors", [("Errors by type", Table(columns, rows))], remarks)


def _check(found: Check) -> Part:
    columns = [Column("Metric", "text"), Column("Baseline"), Column("Now"), Column("Change"),
               Column("Verdict", "text"), Column("Why", "name")]  # fmt: skip
    rows = [[*result_cells(result), result.verdict, result.why] for result in found.results]
    period = f" ({found.baseline_period})" if found.baseline_period else ""
    filters = "; ".join(f"{kind} {', '.join(names)}" for kind, names in found.filters.items())
    only = [f"Only {filters}."] if filters else []
    remarks = [f"Compared with {found.origin}{period}: {found.verdict}.", *only, *found.remarks]
    return Part("baseline", "Baseline", [("The period and its baseline", Table(columns, rows))], remarks)


def linked_alerts(alerts: Sequence[Alert], links: PageLinks, silences: Mapping[str, Silence] = {}) -> Table:
    """The table of alerts, in its own order. Those whose rule is there lead where `links` says."""
    table = alerts_table(alerts, silences)
    cells = [
        links.rule(rule_of(alert.name), row[0]) if alert.rule else row[0]
        for alert, row in zip(alerts, table.rows, strict=True)
    ]
    return table._replace(rows=[[cell, *row[1:]] for cell, row in zip(cells, table.rows, strict=True)])


def alerts_part(content: Content, links: PageLinks = NO_LINKS) -> Part:
    """The current alerts, and their changes in the period."""
    found = content.alerts
    if not (found.setup.rules or found.now.alerts or found.events):
        return Part("alerts", "Alerts", [], ["No alert rule is on."])
    firing = f"{quantity(len(found.now.firing), 'alert')} firing" if found.now.firing else "No alert is firing"
    remarks = [f"{firing} at the time of this page. Alerts cover the whole store."]
    tables = []
    if found.now.alerts:
        tables.append(("Now", linked_alerts(sort_alerts(found.now.alerts)[:MOST_EVENTS], links)))
    if len(found.now.alerts) > MOST_EVENTS:
        remarks.append(f"{MOST_EVENTS} of {count(len(found.now.alerts))} alerts are shown, firing ones first.")
    if found.events:
        tables.append(("In the period", events_table(found.events, found.setup.rules, content.zone)))
    else:
        remarks.append("No alert changed in the period.")
    if len(found.events) == MOST_EVENTS:
        remarks.append(f"Only the newest {MOST_EVENTS} changes are shown.")
    return Part("alerts", "Alerts", tables, remarks)
