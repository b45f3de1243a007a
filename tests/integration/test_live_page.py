"""The live page: who may ask, what a page may do, and that its words, figures and errors are those of the commands. On
both engines."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from claude_force import clock
from claude_force.analytics.execution_lists import MOST_LISTED
from claude_force.cli.page_commands import PageCommands
from claude_force.cli.root import cli
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.executions.totals import Bucket, Totals
from claude_force.ingest.freshness import Freshness
from claude_force.settings.home import find_home
from claude_force.web import pages
from claude_force.web.answers import Answer, Form, Query
from claude_force.web.app import LivePage
from claude_force.web.links import PERIOD, SHARED, Links
from claude_force.web.live import Live
from claude_force.web.view import MOST_ROWS
from claude_force.web.views import ACTIONS, VIEWS
from claude_force.web.watcher import Watcher
from tests.asked_pages import HOST, ask, ask_page
from tests.builders import NOON_US, an_execution
from tests.commands import walk
from tests.conftest import Run

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
DAY = clock.to_datetime(NOON_US, clock.zone_of("UTC")).date().isoformat()
PERIOD_OF_ALL = f"since={DAY}&until={DAY}&timezone=UTC"
MOST_BYTES = 150_000


@pytest.fixture
def filled(database: Database, location: str) -> Iterator[str]:
    """A database of two agents, one of them with a hostile name."""
    Store(database).add(
        [
            an_execution(agent_name="code-reviewer", project="/home/ada/shop"),
            an_execution(agent_name="code-reviewer", success=False, error_type="rate_limit"),
            an_execution(agent_name="<script>alert(1)</script>", model="claude-sonnet-4-5"),
        ]
    )
    database.close()
    yield location
    database.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of 700 agents and workflows, and a session that started 700 agents."""
    path = tmp_path_factory.mktemp("many") / "metrics.db"
    with closing(open_database(str(path))) as database:
        Store(database).add(
            an_execution(
                timestamp_us=NOON_US + number, agent_name=f"agent-{number}", workflow_id=f"workflow-{number}",
                session_id="long-session", run_id=f"run-{number}",
            )
            for number in range(700)
        )  # fmt: skip
    return str(path)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9999"}, 200),
        ({"Host": "[::1]:4320"}, 200),
        ({"Host": "evil.example:4320"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "127.0.0.1/; script-src *"}, 403),
        ({"Host": "evil.example@127.0.0.1"}, 403),
        ({"Host": "127.0.0.1:80:80"}, 403),
        ({"Host": "127.0.0.1?x"}, 403),
        ({"Origin": f"http://{HOST}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_only_this_machine_and_its_own_pages_may_ask(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """A page of another origin may lead here, and read nothing; a name that was made to lead here is refused."""
    assert ask(f"{tmp_path}/none.db", "/assets/icon.svg", headers).status == status


def test_a_request_without_a_host_is_refused(tmp_path: Path) -> None:
    """HTTP/1.1 demands one, and the policy of the page names it."""
    with closing(PageCommands(f"{tmp_path}/none.db", Freshness)) as commands:
        sent = asyncio.run(ask_page(LivePage(commands, Live(lambda: False)), "/", {}))
    assert (sent.status, sent.text.startswith("only for this machine")) == (403, True)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(tmp_path: Path, method: str) -> None:
    """Nothing here is put or deleted."""
    sent = ask(f"{tmp_path}/none.db", "/", method=method)
    assert (sent.status, sent.headers["allow"]) == (405, "GET, HEAD, POST")


def test_a_page_may_run_its_own_scripts_only(filled: str) -> None:
    """The policy has the hash of each script and style that is in the page, and nothing is allowed because it is
    inline."""
    sent = ask(filled, f"/?{PERIOD_OF_ALL}")
    policy = sent.headers["content-security-policy"]
    inside = [*SCRIPT.findall(sent.text), *STYLE.findall(sent.text)]
    assert len(inside) == 3
    for text in inside:
        assert f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r'\sstyle="|\son\w+="', sent.text)
    assert sent.headers["x-content-type-options"] == "nosniff"
    assert sent.headers["cache-control"] == "no-store"


def test_the_chart_library_is_the_file_whose_hash_the_page_names(filled: str) -> None:
    """It is the only file that a page loads, and a browser keeps it."""
    page = ask(filled, f"/?{PERIOD_OF_ALL}").text
    loaded = re.findall(r'(?:src|href)="(/assets/[^"]*)"', page)
    assert sorted(loaded) == ["/assets/charts.js", "/assets/icon.svg"]
    sent = ask(filled, "/assets/charts.js")
    digest = b64encode(sha256(sent.text.encode()).digest()).decode()
    assert f'integrity="sha256-{digest}"' in page
    assert "immutable" in sent.headers["cache-control"]


def test_a_page_is_small(filled: str) -> None:
    """Without the chart library, which is loaded once."""
    assert len(ask(filled, f"/?{PERIOD_OF_ALL}").text.encode()) < MOST_BYTES


def test_hostile_names_are_text(filled: str) -> None:
    """In the page, in its links, in the filters and in an error."""
    name = quote("<script>alert(1)</script>")
    pages = [
        ask(filled, f"/?{PERIOD_OF_ALL}").text,
        ask(filled, f"/?{PERIOD_OF_ALL}&agent={name}").text,
        ask(filled, f"/?agent={name}x").text,
        ask(filled, f"/?{name}={name}").text,
    ]
    for page in pages:
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_the_json_is_that_of_the_command(filled: str, run: Run) -> None:
    """To the byte, but for the instants at which the two were asked."""
    sent = ask(filled, f"/?{PERIOD_OF_ALL}&agent=code-reviewer&format=json")
    done = run(
        "summary", "--since", DAY, "--until", DAY, "--timezone", "UTC", "--agent", "code-reviewer", "--json",
        "--no-ingest", "--db", filled,
    )  # fmt: skip
    assert sent.headers["content-type"] == "application/json"
    without_age = [re.sub(r'"data": \{.*?\}', "", text, flags=re.DOTALL) for text in (sent.text, done.stdout)]
    assert without_age[0] == without_age[1]
    assert json.loads(done.stdout)["total_executions"] == 2


@pytest.mark.parametrize("dimension", ["agent", "model", "project", "branch", "user", "host", "workflow"])
def test_a_name_of_a_breakdown_leads_to_the_overview_of_it(filled: str, dimension: str) -> None:
    """With the filters of the breakdown; what has no name leads nowhere."""
    path = f"/by-{dimension}?{PERIOD_OF_ALL}"
    sent, found = ask(filled, path), ask(filled, f"{path}&format=json").json
    (groups,) = (value for value in found.values() if isinstance(value, list) and value and dimension in value[0])
    names = [group[dimension] for group in groups]
    linked = re.findall(rf'href="/\?{PERIOD_OF_ALL.replace("&", "&amp;")}&amp;{dimension}=([^"]*)"', sent.text)
    assert sent.status == 200
    assert names
    assert linked == [quote(name, "/:@") for name in names if name is not None]


def test_json_is_what_the_accept_header_asks_for(filled: str) -> None:
    """A browser, which takes anything, gets a page."""
    path = f"/?{PERIOD_OF_ALL}"
    assert ask(filled, path, {"Accept": "application/json"}).json["total_executions"] == 3
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*"):
        assert ask(filled, path, {"Accept": accept}).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("query", "arguments", "status"),
    [
        ("agent=code-reviewr", ["--agent", "code-reviewr"], 404),
        ("days=0", ["--days", "0"], 400),
        ("days=7&since=2026-01-01", ["--days", "7", "--since", "2026-01-01"], 400),
        ("since=2026-02-01&until=2026-01-01", ["--since", "2026-02-01", "--until", "2026-01-01"], 400),
        ("timezone=Mars", ["--timezone", "Mars"], 400),
    ],
)
def test_an_error_is_that_of_the_command(filled: str, run: Run, query: str, arguments: list[str], status: int) -> None:
    """One line with its remedy, on a page that still has its filters, and as text beside JSON."""
    done = run("summary", *arguments, "--no-ingest", "--db", filled)
    message = re.sub(r" \(see .* --help\)$", "", " ".join(done.stderr.split())).removeprefix("error: ")
    as_text, page = ask(filled, f"/?{query}&format=json"), ask(filled, f"/?{query}")
    assert (as_text.status, page.status) == (status, status)
    assert " ".join(as_text.text.split()) == message
    assert 'class="filters"' in page.text


HARMLESS = {
    *SHARED, "for-model", "interval", "baseline", "sort-by", "limit", "asc", "desc", "by", "batch", "cache", "recent",
    "active", "session-length", "by-model", "tolerance",
}  # fmt: skip
"""Options that choose what is shown: they read no file, write none, and ask nobody."""


def test_a_view_takes_the_words_that_it_lists_and_no_other_option(filled: str) -> None:
    """A page names no file and no database, writes nothing, and asks nobody else. With JSON, too."""
    commands = {" ".join(path): command for path, command in walk(cli)}
    for view in VIEWS:
        options = {
            name.removeprefix("--") for option in commands[view.command].params for name in option.opts if "--" in name
        }
        known = {*view.known_words()} - {view.argument}
        assert known <= options & HARMLESS
        for word in {*options - known - {"format"}, "nonsense", "format-"}:
            for form in ("", "&format=json"):
                sent = ask(filled, f"{view.path}?{word}=true{form}")
                assert sent.status == 400
                assert f"no filter {word!r} here" in unescape(sent.text)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "x.json", "C:\\x"])
def test_a_page_compares_with_no_file(filled: str, name: str) -> None:
    """An error about a file would tell what is in it."""
    sent = ask(filled, f"/?baseline={quote(name)}")
    assert sent.status == 400
    assert "with a stored baseline, not with a file" in sent.text


def test_forms_change_nothing_but_silences() -> None:
    """Of the database that is served."""
    assert {(action.command, *action.words) for action in ACTIONS} == {
        ("alerts silence", "name", "for", "comment"), ("alerts unsilence", "name"),
    }  # fmt: skip


@pytest.mark.parametrize("query", ["agent=" + "x" * 8_192, "&".join(["agent=a"] * 101)])
def test_an_address_that_is_longer_than_any_of_a_page_is_refused(filled: str, query: str) -> None:
    """Each link of a page has the whole query, so a page would be as large as its square."""
    sent = ask(filled, f"/?{query}")
    assert sent.status == 414
    assert "at most 100 filters, 8,192 characters" in sent.text
    assert len(sent.text) < MOST_BYTES


def test_what_is_invisible_in_an_address_is_spelled(filled: str) -> None:
    """An address cannot turn the direction of the text after it."""
    page = ask(filled, f"/?{PERIOD_OF_ALL}&agent=code-reviewer&agent=a%E2%80%AE%00*").text
    assert "<span>agent</span> a\\u202e\\x00*" in page
    assert ask(filled, "/?start=%1b[31m&format=json").text.startswith("--start \\x1b[31m: ")


def test_an_alert_rule_that_is_not_there_is_no_fault_of_the_server(filled: str) -> None:
    """503 is for a store that cannot be asked now."""
    assert ask(filled, "/alerts/explain?name=nothing").status == 400


def test_an_answer_that_failed_is_not_kept(tmp_path: Path) -> None:
    """The store is asked again, though nothing says that it changed."""
    file = tmp_path / "metrics.db"
    with closing(open_database(str(file))) as database:
        Store(database).add([an_execution()])
    kept = file.read_bytes()

    async def ask_twice() -> tuple[int, int]:
        with closing(PageCommands(str(file), Freshness)) as commands:
            page = LivePage(commands, Live(lambda: False))
            file.write_bytes(b"no database")
            before = await ask_page(page, "/runs")
            file.write_bytes(kept)
            return before.status, (await ask_page(page, "/runs")).status

    assert asyncio.run(ask_twice()) == (503, 200)


def test_many_pages_of_the_same_address_are_drawn_once(filled: str) -> None:
    """Also of those that ask at the same moment: the commands run as often as for one page."""
    ran: list[str] = []

    class Counted(PageCommands):
        def __call__(self, command: str, query: Query, form: Form) -> Answer:
            ran.append(command)
            return super().__call__(command, query, form)

    async def ask_many() -> tuple[int, set[str]]:
        with closing(Counted(filled, Freshness)) as commands:
            await ask_page(LivePage(commands, Live(lambda: False)), "/runs")
            of_one, page = len(ran), LivePage(commands, Live(lambda: False))
            at_once = await asyncio.gather(*(ask_page(page, "/runs") for _ in range(20)))
            return of_one, {each.text for each in (*at_once, await ask_page(page, "/runs"))}

    of_one, texts = asyncio.run(ask_many())
    assert (len(texts), len(ran)) == (1, 2 * of_one)
    assert of_one > 0


def test_the_head_of_the_events_ends(filled: str) -> None:
    """It has no body to wait for."""
    assert ask(filled, "/events", method="HEAD").headers["content-type"].startswith("text/event-stream")


def test_a_default_budget_is_a_rule_without_a_threshold(filled: str) -> None:
    """The table of rules has the words of the command line for it, and no link to an explanation."""
    sent = ask(filled, "/alerts")
    assert "Daily Budget &gt; the dollars that you set" in sent.text
    assert "name=daily-budget" not in sent.text
    assert "name=success-rate" in sent.text


def test_an_upgrade_beneath_a_running_page_changes_no_template(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates of another version need names that the code in memory does not have: each page was a bare 500."""
    loader = pages.environment().loader
    assert loader is not None
    monkeypatch.delattr(type(loader), "get_source")
    sent = [ask(filled, path).status for path in ("/", "/runs", "/what-if", "/alerts", "/nothing")]
    assert sent == [200, 200, 200, 200, 404]


def test_an_unknown_path_is_a_page_that_says_so(filled: str) -> None:
    """With the way back."""
    sent = ask(filled, "/nothing")
    assert sent.status == 404
    assert "There is no page /nothing." in sent.text
    assert "The figures are those of" not in sent.text


def test_an_empty_store_says_how_it_is_filled(home: Path) -> None:
    """The same words as the report's."""
    sent = ask(None, "/")
    assert sent.status == 200
    assert "claude-force ingest" in sent.text
    assert not (home / ".claude" / "metrics").exists()


def test_names_and_intervals_lead_on(filled: str) -> None:
    """A name to the same view of it alone, a day to its runs; what is chosen stays chosen."""
    page = ask(filled, f"/?{PERIOD_OF_ALL}&model=claude-sonnet-4-5").text
    assert f'href="/?since={DAY}&amp;until={DAY}&amp;timezone=UTC&amp;model=claude-sonnet-4-5&amp;agent=' in page
    narrowed = ask(filled, f"/?{PERIOD_OF_ALL}&agent=code-reviewer&format=json").json
    assert narrowed["total_executions"] == 2


def test_the_words_are_those_of_every_report() -> None:
    """What stays in an address from view to view is an option of each report."""
    options = {" ".join(path): {name for option in each.params for name in option.opts} for path, each in walk(cli)}
    assert {f"--{word}" for word in SHARED} <= options["summary"] & options["report"]
    own = {f"--{word}" for word in (*PERIOD, "timezone")}
    names = {f"--{word}" for word in SHARED} - own
    shared = options["summary"] & options["runs"] & options["errors"]
    assert shared - own - names == {
        "--db", "--no-ingest", "--format", "-j", "--json", "--output", "--fail-on-empty",
    }  # fmt: skip


def test_every_view_has_an_address_of_its_own() -> None:
    """And its command exists."""
    commands = {" ".join(path) for path, _ in walk(cli)}
    assert len({view.path for view in VIEWS}) == len(VIEWS)
    assert {view.command for view in VIEWS} <= commands


@pytest.mark.parametrize(
    ("label", "hours", "expected"),
    [
        ("2026-01-31", 24, "/runs?agent=a&since=2026-01-31&until=2026-01-31"),
        ("2026-01-31 13:00", 1, "/runs?agent=a&start=1970-01-01T00:00Z&end=1970-01-01T01:00Z"),
        ("2026-01-26", 168, "/runs?agent=a&start=1970-01-01T00:00Z&end=1970-01-08T00:00Z"),
    ],
)
def test_an_interval_leads_to_the_runs_in_it(label: str, hours: int, expected: str) -> None:
    """Whatever the period was."""
    links = Links("/", (("agent", "a"), ("days", "7"), ("interval", "daily")))
    assert links.interval(Bucket(label, 0, hours * clock.HOUR_US, Totals())).href == expected  # type: ignore[attr-defined]


def test_links_keep_the_filters_and_drop_what_another_view_does_not_have() -> None:
    """A word that another command calls otherwise is renamed on the way there and back."""
    renamed = {"/what-if": {"model": "for-model"}}
    links = Links("/outcomes", (("by", "model"), ("model", "opus"), ("days", "7")), renamed)
    assert links.to("/what-if") == "/what-if?for-model=opus&days=7"
    back = Links("/what-if", (("model", "haiku"), ("for-model", "opus"), ("days", "7")), renamed)
    assert back.to("/outcomes") == "/outcomes?model=opus&days=7"
    assert links.here(by="agent", last="today") == "/outcomes?model=opus&by=agent&last=today"
    assert links.without("model", "opus") == "/outcomes?by=model&days=7"


def test_a_form_without_the_token_changes_nothing(filled: str) -> None:
    """Whatever page it comes from."""
    for action in ACTIONS:
        sent = ask(filled, action.path, {"Content-Type": "application/x-www-form-urlencoded"}, "POST", b"token=x")
        assert sent.status == 403
        assert ask(filled, action.path).status == 405


def test_a_look_sees_what_another_process_stored(database: Database, location: str) -> None:
    """A file tells nothing else. On a server other databases write, which looks the same."""
    workspace = workspace_at(find_home(), location)[0]
    watcher = Watcher(workspace, clock.now_us, is_reading=True)
    with closing(workspace.database):
        assert watcher.look()
        assert not watcher.look() or database.dialect == "postgresql"
        Store(database).add([an_execution()])
        assert watcher.look()


@pytest.mark.parametrize(
    ("path", "rows", "every"),
    [
        ("/runs", 100, None),
        ("/runs?limit=1_000_000&sort-by=cost", MOST_ROWS, "runs"),
        ("/by-workflow?limit=5", 5, None),
        ("/by-workflow", MOST_ROWS, "workflows"),
        ("/what-if?since=2000-01-01", MOST_ROWS, "by_agent"),
        ("/outcomes?by=agent&since=2000-01-01", MOST_ROWS, "agents"),
        ("/run?id=long-session", MOST_ROWS + MOST_LISTED, "runs"),
    ],
)
def test_a_page_has_few_rows_and_leads_to_all(many: str, path: str, rows: int, every: str | None) -> None:
    """Whatever its address asks for; the JSON has what is left out."""
    page = ask(many, path).text
    assert len(page.encode()) < MOST_BYTES
    found = len(re.findall(r"<tr><th scope=row>", page))
    # Beside the rows there may be a total, or a table of a few rows.
    assert rows <= found <= rows + 4
    lead = re.search(r'A page shows at most 500 rows. <a href="([^"]+)">All of them as JSON</a>', page)
    assert (lead is None) == (every is None)
    if lead and every:
        assert len(ask(many, unescape(lead[1])).json[every]) > 600


@pytest.mark.parametrize("limit", ["0", "x", "9" * 5000])
def test_a_limit_that_is_none_is_refused_as_by_the_command(filled: str, limit: str) -> None:
    """The page does not mend it."""
    assert "--limit" in ask(filled, f"/runs?limit={limit}").text
