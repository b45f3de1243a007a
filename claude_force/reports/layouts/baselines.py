"""Layouts of baselines and regression checks: pages, JUnit XML, and GitHub Actions annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any, TextIO

from claude_force import clock
from claude_force.analytics.baselines.check import Check, LabelSide
from claude_force.analytics.baselines.rules import NOT_ENOUGH, OK, REGRESSED, MetricResult, Verdict
from claude_force.analytics.baselines.snapshots import subject
from claude_force.database.queries.baselines import narrower
from claude_force.database.rows.baselines import Baseline, BaselineHead
from claude_force.formatting import count, milliseconds, money, percent, quantity, unit_cost
from claude_force.reports.columns import Column
from claude_force.reports.render import Page, Section, Table, write_markdown, write_page
from claude_force.text import for_terminal, for_workflow_command, for_workflow_property
from claude_force.time_windows import heading_of

_SENTENCES: dict[Verdict, str] = {
    OK: "✅ No performance regressions detected",
    REGRESSED: "⚠️  Performance Regressions Detected:",
    NOT_ENOUGH: "Not enough data: nothing was compared",
}
"""The first two sentences are those of the guide."""

_TOO_FEW = "Too few to tell: nothing was compared"


def list_page(listed: Sequence[BaselineHead], hidden: Sequence[BaselineHead], zone: tzinfo) -> Page:
    """The baselines, and the number of automatic ones that are not listed."""
    page = Page("Baselines")
    if listed:
        columns = [Column("Name", "name"), Column("Of", "name"), Column("From"), Column("To"), Column("Executions")]
        rows = [[head.name, subject(head), *map(str, head.days(zone)), count(head.executions)] for head in listed]
        page.parts.append(Table(columns, rows))
    if hidden:
        days = len({head.name for head in hidden})
        lines = [
            f"And {quantity(len(hidden), 'automatic snapshot')} of {quantity(days, 'day')}, newest {hidden[0].name}",
            "To list them: claude-force baseline list --all",
        ]
        page.parts.append(Section(None, lines))
    return page


def baseline_page(found: Baseline, zone: tzinfo) -> Page:
    """The values of a baseline."""
    values = found.snapshot
    first, last = found.days(zone)
    created = clock.to_datetime(found.created_us, zone).date()
    rest = "; ".join(f"{kind} {', '.join(names)}" for kind, names in narrower(found).items())
    latencies = (f"{name} {milliseconds(values[f'{name.lower()}_latency_ms'])}" for name in ("P50", "P95", "P99"))
    lines = [
        f"Of: {subject(found)}{f'; only {rest}' if rest else ''}",
        f"Period: {first} to {last} (made {created}{', automatic' if found.is_automatic else ''})",
        f"Total Executions: {count(found.executions)}",
        f"Success Rate: {percent(values['success_rate'])}",
        f"Average Execution Time: {milliseconds(values['avg_execution_time_ms'])}",
        f"Latency: {', '.join(latencies)}",
        f"Total Cost: {money(values['total_cost'])}",
        f"Cost Per Execution: {unit_cost(values['avg_cost_per_execution'])}",
        f"Average Tokens: {count(values['avg_input_tokens'])} in, {count(values['avg_output_tokens'])} out",
    ]
    models = [f"{family}: {percent(share)}" for family, share in values["model_distribution"].items()]
    return Page(f"Baseline {found.name}", [Section(None, lines), Section("Model Distribution", models)])


def write_baseline(found: Baseline, form: str, zone: tzinfo, file: TextIO) -> None:
    """Write a baseline as a page or as Markdown."""
    write = write_markdown if form == "markdown" else write_page
    write(baseline_page(found, zone), file)


def write_check(found: Check, form: str, file: TextIO) -> None:
    """Write a check as a page, Markdown, JUnit XML or GitHub Actions annotations."""
    if form == "junit":
        file.write(junit(found))
    elif form == "github":
        file.writelines(f"{line}\n" for line in github(found))
    elif form == "markdown":
        write_markdown(check_page(found), file)
    else:
        write_page(check_page(found), file)


def check_page(found: Check) -> Page:
    """Metrics, verdicts and reasons, then the conclusion that the guide's script prints."""
    heading = "Label Comparison" if found.labels else "Regression Check"
    page = Page(f"{heading} ({heading_of(found.period)})", [Section(None, _subject_lines(found))])
    columns = [Column("Metric", "text"), Column("Baseline"), Column("Current"), Column("Change")]
    rows = [[*result_cells(result), result.verdict] for result in found.results]
    page.parts.append(Table([*columns, Column("Verdict", "text")], rows))
    why = [f"{result.title}: {result.why}" for result in found.results]
    page.parts.append(Section("Why", why))
    if found.remarks:
        page.parts.append(Section(None, found.remarks))
    page.parts.extend(_conclusion(found))
    return page


def _subject_lines(found: Check) -> list[str]:
    if found.labels:
        return _label_lines(found, *found.labels)
    filters = "; ".join(f"{kind} {', '.join(names)}" for kind, names in found.filters.items())
    return [_baseline_line(found), *([f"Only {filters}"] if filters else [])]


def _baseline_line(found: Check) -> str:
    return f"Baseline: {found.origin}{f' ({found.baseline_period})' if found.baseline_period else ''}"


def _label_lines(found: Check, before: LabelSide, now: LabelSide) -> list[str]:
    """Both labels, with what there is of them; then the other names that the comparison is restricted to."""
    named = (("Baseline", before), ("Current", now))
    lines = [f"{title}: {side.label} ({_extent(side)})" for title, side in named]
    others = "; ".join(f"{kind} {', '.join(names)}" for kind, names in found.filters.items() if kind != "label")
    return [*lines, *([f"Only {others}"] if others else [])]


def _extent(side: LabelSide) -> str:
    return f"{quantity(side.executions, 'execution')} of {quantity(side.runs, 'run')}"


def result_cells(result: MetricResult) -> list[str]:
    """A metric: its title, the value of the baseline, the current value, and the change."""
    return [
        result.title,
        result.shown(result.baseline),
        result.shown(result.current),
        result.shown_change(),
    ]


def _conclusion(found: Check) -> list[Section]:
    return [Section(None, [_conclusion_line(found)]), *map(_degradation, found.regressions)]


def _conclusion_line(found: Check) -> str:
    return _TOO_FEW if found.labels and found.verdict == NOT_ENOUGH else _SENTENCES[found.verdict]


def _degradation(result: MetricResult) -> Section:
    title, before, now, change = result_cells(result)
    lines = [f"  {title}:", f"    Baseline: {before}", f"    Current: {now}", f"    Degradation: {change.lstrip('+-')}"]
    return Section(None, lines)


def _sentence(result: MetricResult) -> str:
    _, before, now, change = result_cells(result)
    return f"baseline {before}, current {now} ({change}): {result.why}"


def junit(found: Check) -> str:
    """JUnit XML with a test case for each metric: a regression is a failure, too little data is skipped.

    It is ASCII, so that it is valid in every encoding.
    """
    from xml.etree import ElementTree as Xml

    verdicts = [result.verdict for result in found.results]
    counts = {"tests": len(verdicts), "failures": verdicts.count(REGRESSED), "skipped": verdicts.count(NOT_ENOUGH)}
    attributes = {"name": "claude-force baseline check", **{name: str(number) for name, number in counts.items()}}
    suites = Xml.Element("testsuites", attributes)
    suite = Xml.SubElement(suites, "testsuite", attributes)
    properties = Xml.SubElement(suite, "properties")
    described = {"baseline": found.origin, "baseline_period": found.baseline_period, "period": found.period}
    filters = {kind: ", ".join(names) for kind, names in found.filters.items()}
    for name, value in (described | filters).items():
        Xml.SubElement(properties, "property", {"name": name, "value": for_terminal(value)})
    for result in found.results:
        case = Xml.SubElement(suite, "testcase", {"classname": "baseline", "name": result.title})
        _add_verdict(case, result)
    Xml.indent(suites)
    return f'<?xml version="1.0" encoding="us-ascii"?>\n{Xml.tostring(suites).decode("ascii")}\n'


def _add_verdict(case: Any, result: MetricResult) -> None:
    from xml.etree import ElementTree as Xml

    sentence = for_terminal(_sentence(result))
    if result.verdict == OK:
        Xml.SubElement(case, "system-out").text = sentence
    else:
        kind = "failure" if result.verdict == REGRESSED else "skipped"
        Xml.SubElement(case, kind, {"message": sentence})


def github(found: Check) -> list[str]:
    """Workflow commands of GitHub Actions: an annotation for each metric, then the conclusion.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    subject_line = "; ".join([*_subject_lines(found), *found.remarks])
    lines = [
        f"::{'error' if result.verdict == REGRESSED else 'notice'} "
        f"title={for_workflow_property(f'{result.title}: {result.verdict}')}"
        f"::{for_workflow_command(f'{_sentence(result)}. {subject_line}')}"
        for result in found.results
    ]
    return [*lines, _conclusion_line(found)]
