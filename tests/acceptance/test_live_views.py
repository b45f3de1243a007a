"""The views of the live page in a real browser: what they show, who can use them, and what hostile names do to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from claude_force import clock
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics
from claude_force.formatting import count, duration, money, percent, unit_cost
from claude_force.text import for_terminal
from claude_force.web.views import VIEWS
from tests.acceptance import test_outputs_safe
from tests.acceptance.test_bad_usage import HOSTILE
from tests.builders import an_execution
from tests.conftest import Run
from tests.daemons import Program, serving
from tests.live_pages import Tab, chromium

SESSION = "11111111-1111-4111-8111-111111111111"
FIRST_US = clock.now_us() // DAY_US * DAY_US - 2 * DAY_US
"""Two days ago: no window of the reports ends while the tests run."""

_WORDS = {"/run": f"?id={SESSION}", "/alerts/explain": "?name=success-rate"}
PATHS = (*(f"{view.path}{_WORDS.get(view.path, '')}" for view in VIEWS), "/outcomes?by=day")
"""An address of each view."""


def some_executions() -> list[ExecutionMetrics]:
    """Requests of five runs in one session of Claude Code; each seventh failed."""
    return [
        an_execution(
            timestamp_us=FIRST_US + 10 * HOUR_US + number * MINUTE_US,
            agent_name=f"agent-{number % 3}",
            model="claude-sonnet-4-5" if number % 2 else "claude-opus-4-5",
            project="/home/ada/app",
            session_id=SESSION,
            workflow_id=SESSION,
            run_id=f"run-{number % 5}",
            source="claude-code",
            success=number % 7 > 0,
            error_type=None if number % 7 else "rate_limit",
            duration_us=1_500_000 + 10_000 * number,
            cost_nanousd=12_345_678 * number,
        )
        for number in range(40)
    ]


def store_in(home: Path) -> Path:
    """The default database of a home."""
    return home / ".claude" / "metrics" / "metrics.db"


def add(home: Path, *executions: ExecutionMetrics) -> None:
    """Store executions as another process does."""
    with closing(open_database(str(store_in(home)))) as database:
        Store(database).add(executions)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the module."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Program]]:
    """A home with executions and an alert rule, and its live page. Tests change nothing in it."""
    home = tmp_path_factory.mktemp("served")
    (home / ".claude" / "metrics").mkdir(parents=True)
    (home / ".claude" / "claude.json").write_text('{"performance": {"alerts": {"success-rate": true}}}')
    add(home, *some_executions())
    with serving(home) as program:
        yield home, program


@pytest.fixture
def tab(browser: Browser, served: tuple[Path, Program]) -> Iterator[Tab]:
    """A tab on the served home. Its console stays empty, and it asks nobody else."""
    with closing(Tab(browser, served[1])) as found:
        yield found
        assert found.said == []


def json_of(run: Run, home: Path, line: str) -> Any:
    """What a command prints for the served home."""
    return json.loads(run(*line.split(), "--json", env={"HOME": str(home)}).stdout)


def lasting(answer: Any) -> Any:
    """An answer without the age of its data, and without the beginning of a state that began as it was asked."""
    if isinstance(answer, dict):
        return {key: lasting(value) for key, value in answer.items() if key not in ("data", "since")}
    return [lasting(each) for each in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/runs?sort-by=cost&agent=agent-1", "runs --sort-by cost --agent agent-1 --limit 100"),
        (f"/run?id={SESSION}", f"run show {SESSION}"),
        ("/executions?model=opus", "analytics export --model opus"),
        ("/outcomes?by=model", "outcomes --by model --days 30"),
        (
            "/what-if?model=claude-haiku-4-5&for-model=opus",
            "what-if --model claude-haiku-4-5 --for-model opus --days 30",
        ),
        ("/blocks", "blocks --days 7"),
        ("/alerts", "alerts list"),
        ("/alerts/explain?name=success-rate", "alerts explain success-rate"),
        ("/alerts/history?days=30", "alerts history --days 30"),
        ("/reconcile", "reconcile --days 30"),
    ],
)
def test_the_json_of_a_view_is_that_of_its_command(
    path: str, line: str, tab: Tab, served: tuple[Path, Program], run: Run
) -> None:
    """To the last digit, with the same words."""
    assert lasting(tab.json(path)) == lasting(json_of(run, served[0], line))


def test_the_json_of_health_has_the_findings_of_the_doctor(tab: Tab, served: tuple[Path, Program], run: Run) -> None:
    """The texts have ages, which change while the test runs."""
    shown, printed = tab.json("/health"), json_of(run, served[0], "doctor")
    assert [(found["id"], found["level"]) for found in shown["findings"]] == [
        (found["id"], found["level"]) for found in printed["findings"]
    ]
    assert shown["sources"] == printed["sources"]


NUMBERS: dict[str, tuple[str, list[int], Callable[[Any], list[list[str]]]]] = {
    "/runs": ("Runs", [4, 6, 7, 8], lambda found: [
        [count(run["executions"]), count(run["total_tokens"]), money(run["total_cost"]), run["outcome"]]
        for run in found["runs"]
    ]),
    "/executions": ("Executions", [1, 4, 8], lambda found: [
        [each["agent_name"], duration(each["execution_time_ms"]), unit_cost(each["estimated_cost"])]
        for each in reversed(found)
    ]),
    "/outcomes?by=model": ("Outcomes", [1, 2, 4], lambda found: [
        [count(each["runs"]), "too few" if each["success_rate"] is None else percent(each["success_rate"]),
         money(each["total_cost"])]
        for each in [*found["models"], found["totals"]]
    ]),
    f"/run?id={SESSION}": ("The run", [2, 4, 5], lambda found: [
        [count(each["own"]["executions"]) if each["agents"] else "–",
         money(each["own"]["total_cost"]) if each["agents"] else "–", money(each["total"]["total_cost"])]
        for each in found["runs"]
    ]),
}  # fmt: skip


@pytest.mark.parametrize("path", NUMBERS)
def test_the_numbers_of_a_view_are_those_of_its_json(path: str, tab: Tab) -> None:
    """Row by row, in the order of the JSON."""
    title, columns, expected = NUMBERS[path]
    tab.open(path)
    shown = [[row[column] for column in columns] for row in tab.rows(title)]
    assert shown == expected(tab.json(path))


@pytest.mark.parametrize(
    "path",
    [
        "/?interval=daily", "/runs?days=7&agent=agent-1", "/what-if?model=claude-haiku-4-5&for-model=opus", "/alerts",
        "/blocks", "/outcomes?by=day",
    ],
)  # fmt: skip
def test_every_link_of_a_view_is_answered(path: str, tab: Tab) -> None:
    """Filters stay where the next view takes them, and are left out where it does not."""
    tab.open(path)
    hrefs = tab.page.eval_on_selector_all("a[href]", "links => [...new Set(links.map(link => link.href))]")
    assert len(hrefs) > 10
    assert {href: answer for href in hrefs if (answer := tab.status(href)) != 200} == {}


@pytest.mark.parametrize(
    ("scheme", "views"), [("light", PATHS), ("dark", ("/", f"/run?id={SESSION}", "/what-if", "/alerts"))]
)
def test_everybody_can_use_every_view(
    scheme: Any, views: Sequence[str], browser: Browser, served: tuple[Path, Program]
) -> None:
    """axe-core finds nothing serious or critical; at 390 pixels nothing is wider than the window; the Tab key reaches
    whatever can be clicked, and one sees where it is."""
    axe = Axe()
    with closing(Tab(browser, served[1], color_scheme=scheme, viewport={"width": 390, "height": 844})) as tab:
        for path in views:
            tab.open(path)
            found = axe.run(tab.page).response["violations"]
            serious = [
                (each["id"], [node["html"][:200] for node in each["nodes"]])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert (path, serious) == (path, [])
            assert tab.page.evaluate("document.documentElement.scrollWidth") == 390, path
            if scheme == "light":
                assert (path, tab.unreached()) == (path, [])
        assert tab.said == []


def test_the_keyboard_alone_leads_from_a_day_to_the_executions_of_a_run(tab: Tab) -> None:
    """A day of the overview, its runs, a run with its tree, one of its executions."""
    tab.open("/?interval=daily")
    keys = tab.page.keyboard

    def follow(name: str) -> None:
        tab.page.evaluate("document.activeElement.blur()")
        for _ in range(200):
            keys.press("Tab")
            if tab.page.evaluate("document.activeElement.textContent.trim()") == name:
                break
        else:
            pytest.fail(f"no {name}")
        with tab.page.expect_navigation():
            keys.press("Enter")

    day = f"{clock.to_datetime(FIRST_US, clock.zone_of('UTC')):%Y-%m-%d}"
    tab.page.locator("figure summary").first.press("Enter")
    follow(day)
    assert f"since={day}" in tab.page.url
    follow("run-3")
    assert tab.page.url.endswith("id=run-3")
    assert len(tab.rows("Executions of the run")) == 8


def test_a_recorded_execution_appears_by_itself(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is loaded again by hand, and the focus stays where it was."""
    home = tmp_path_factory.mktemp("live")
    (home / ".claude" / "metrics").mkdir(parents=True)
    add(home, *some_executions())
    with serving(home) as program, closing(Tab(browser, program)) as tab:
        tab.open("/runs")
        link = tab.page.get_by_role("link", name="run-3")
        link.focus()
        add(home, an_execution(timestamp_us=clock.now_us(), run_id="run-new", agent_name="newcomer"))
        tab.page.get_by_role("link", name="newcomer").wait_for()
        assert tab.page.evaluate("document.activeElement.textContent") == "run-3"
        assert tab.said == []


def test_a_silence_is_made_and_ended(browser: Browser, tmp_path_factory: pytest.TempPathFactory, run: Run) -> None:
    """By the forms of the page, and never by following a link."""
    home = tmp_path_factory.mktemp("silenced")
    (home / ".claude" / "metrics").mkdir(parents=True)
    add(home, *some_executions())
    with serving(home) as program, closing(Tab(browser, program)) as tab:
        tab.open("/alerts/explain?name=success-rate")
        tab.page.get_by_label("For").fill("3h")
        tab.page.get_by_label("Comment").fill("<b>release</b>")
        tab.page.get_by_role("button", name="Silence").click()
        tab.page.get_by_text("success-rate until").wait_for()
        assert json_of(run, home, "alerts list")["silences"][0]["comment"] == "<b>release</b>"
        tab.page.get_by_role("button", name="End the silence of success-rate").click()
        tab.page.get_by_text("success-rate until").wait_for(state="detached")
        assert json_of(run, home, "alerts list")["silences"] == []
        for path in ("/alerts/silence?name=success-rate&for=1h", "/alerts/unsilence?name=success-rate"):
            assert tab.page.request.get(tab.url + path).status in (404, 405)
        refused = tab.page.request.post(f"{tab.url}/alerts/silence", form={"name": "success-rate", "for": "1h"})
        assert refused.status == 403
        assert json_of(run, home, "alerts list")["silences"] == []
        assert tab.said == []


def test_hostile_names_run_nothing_and_lead_to_themselves(browser: Browser, home: Path) -> None:
    """Names of agents, models, projects, runs, rules and errors are text in every view, and every link to one of them
    is answered."""
    test_outputs_safe.fill(home)
    with serving(home) as program, closing(Tab(browser, program)) as tab:
        for path in (
            "/", "/runs?limit=500", "/run?id=evil-session", "/executions", "/outcomes?by=agent",
            "/outcomes?by=session", "/what-if?batch=true", "/blocks", "/alerts",
            "/alerts/explain?name=by-agent", "/alerts/history", "/reconcile", "/health",
        ):  # fmt: skip
            tab.open(path)
            assert tab.page.title().endswith("- claude-force")
        tab.open("/run?id=evil-session")
        rows = tab.rows("The run")
        shown = {for_terminal(name).strip() for name in HOSTILE}
        assert len(rows) == 1 + len(HOSTILE)
        tab.open("/executions")
        assert shown <= {row[1] for row in tab.rows("Executions")}
        hrefs = tab.page.eval_on_selector_all(
            "td:nth-child(2) a", "links => [...new Set(links.map(link => link.href))]"
        )
        assert len(hrefs) == len(HOSTILE)
        assert {href: answer for href in hrefs if (answer := tab.status(href)) != 200} == {}
        assert tab.said == []
