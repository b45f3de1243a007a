"""The Grafana dashboard imports without questions, queries exported metrics only, and shows the guide's figures."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest

from claude_force.database.contract import Database
from claude_force.exporters.metrics import read_exposition
from claude_force.exporters.prometheus.text_format import encode
from tests.builders import NOON_US
from tests.conftest import ROOT
from tests.dashboards import VARIABLE, dashboard, expressions, panels

KPIS = {
    "Success rate": ("percent", 95), "Average execution time": ("s", 15), "P95 latency": ("s", 10),
    "Cost per execution": ("currencyUSD", None), "Cost in the last hour": ("currencyUSD", 1),
    "Haiku share": ("percent", 50), "Tokens per execution": ("short", None), "Model distribution": ("none", None),
}  # fmt: skip
"""The figures of the guide: each with its unit and its threshold."""


def test_it_imports_without_questions() -> None:
    """The data source is a variable, so there is nothing to fill in; the dashboard has a uid of its own."""
    found = dashboard()
    assert not {"__inputs", "__requires", "id"} & set(found)
    assert found["uid"] == "claude-force"
    assert found["schemaVersion"] >= 38
    variables = {variable["name"]: variable for variable in found["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    for name in ("agent", "model", "instance"):
        assert variables[name]["type"] == "query"
        assert variables[name]["includeAll"]
        assert variables[name]["allValue"] == ".*"
    sources = [*panels(), *(target for panel in panels() for target in panel["targets"])]
    sources += [variables[name] for name in ("agent", "model", "instance")]
    assert {(each["datasource"]["type"], each["datasource"]["uid"]) for each in sources} == {
        ("prometheus", "${datasource}")
    }


def test_panels_do_not_overlap() -> None:
    """No panel covers another or leaves the grid; each has a title, a description and an id of its own."""
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert all(panel["title"] and panel["description"] for panel in panels())
    boxes = [panel["gridPos"] for panel in every]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    assert [pair for pair in combinations(boxes, 2) if overlap(*pair)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether two boxes share a cell of the grid."""
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h"))
    )


@pytest.mark.parametrize(("title", "unit", "limit"), [(title, *rest) for title, rest in KPIS.items()], ids=list(KPIS))
def test_every_figure_of_the_guide_has_a_panel(title: str, unit: str, limit: float | None) -> None:
    """A panel has the unit and the threshold of the guide."""
    defaults = next(panel for panel in panels() if panel["title"] == title)["fieldConfig"]["defaults"]
    assert defaults["unit"] == unit
    steps: list[dict[str, Any]] = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert limit is None or limit in [step["value"] for step in steps]


def test_the_page_lists_every_metric(database: Database) -> None:
    """docs/how-to/prometheus.md lists each metric with its labels, and no other."""
    found = read_exposition(database, NOON_US, 1)
    exported = {
        f"{family.name}{'_total' if family.kind == 'counter' else ''}": family.labels for family in found.families
    }
    exported[found.durations.name] = (*found.durations.labels, "le")
    page = (ROOT / "docs" / "how-to" / "prometheus.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(claude_force_\w+)` \|([^|]*)\|", page, re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)", labels)) for name, labels in rows} == exported


def test_it_queries_only_exported_metrics(database: Database) -> None:
    """Every metric in a query is exported, and every variable belongs to the dashboard or to Grafana."""
    found = read_exposition(database, NOON_US, 1)
    exported = {f"{family.name}{'_total' if family.kind == 'counter' else ''}" for family in found.families}
    exported |= {f"{found.durations.name}_{part}" for part in ("bucket", "sum", "count")}
    queries = [variable["query"]["query"] for variable in dashboard()["templating"]["list"] if "definition" in variable]
    asked = {name for text in (*expressions().values(), *queries) for name in re.findall(r"claude_force_\w+", text)}
    assert asked - exported == set()
    # Every exported metric is shown; the success ratio is a second form of one that is.
    assert exported - asked == {"claude_force_success_ratio"}
    assert b"claude_force_build_info" in encode(found)
    variables = {variable["name"] for variable in dashboard()["templating"]["list"]} | {"__range"}
    assert {name for text in expressions().values() for name in VARIABLE.findall(text)} <= variables
