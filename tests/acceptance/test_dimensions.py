"""Sessions, branches and projects: reports by them, filters for them, and what they add up to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.transcripts import SESSION, Ingester, Talk, Tokens, agent_file, exported, ingested, main_file, put

OPUS = "claude-opus-4-8"
RUN = "wf_77"
MILLION, SMALL = Tokens(1_000_000, 0, 0, 0, 0), Tokens(10_000, 0, 0, 0, 0)
"""$5.00 and $0.05 of Opus 4.8."""


def talk_of(tokens: Tokens, name: str, *, agent: str | None = None, **constants: Any) -> Talk:
    """A conversation with one response."""
    talk = Talk(agent_id=agent, constants=constants)
    talk.prompt(name)
    talk.respond(f"msg_{name}", tokens, message={"model": OPUS, "stop_reason": "end_turn"}, attributionAgent=...)
    return talk


def with_workflow_run(projects: Path) -> None:
    """A session with a sub-agent, two agents of Claude Code itself, and a workflow run of three agents."""
    put(main_file(projects), talk_of(Tokens(20_000, 0, 0, 0, 0), "main").lines)
    for agent in ("abc1", "acompact-9f", "aside_question-4c"):
        put(agent_file(projects, agent), talk_of(SMALL, agent, agent=agent).lines)
    for agent in ("aw0", "aw1", "aw2"):
        put(agent_file(projects, agent, workflow=RUN), talk_of(MILLION, agent, agent=agent).lines)


def rows_of(run: Run, report: str, *options: str | Path) -> list[dict[str, Any]]:
    """The groups of a report by one dimension."""
    done = run("analytics", report, "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    (groups,) = [value for value in found.values() if isinstance(value, list)]
    kinds = {"by-session": "sessions", "by-branch": "branches", "by-project": "projects", "by-workflow": "workflows"}
    assert groups is found[kinds[report]]
    assert found[f"total_{kinds[report]}"] == len(groups)
    return list(groups)


def costs_of(run: Run, report: str, *options: str | Path) -> dict[str | None, tuple[int, float]]:
    """Executions and cost of each group."""
    kind = report.removeprefix("by-")
    return {row[kind]: (row["executions"], row["total_cost"]) for row in rows_of(run, report, *options)}


def test_a_session_costs_what_all_that_it_started_costs(run: Run, projects: Path) -> None:
    """Its sub-agents, the agents of Claude Code itself, and its workflow runs."""
    with_workflow_run(projects)
    assert ingested(run)["added"] == 7
    assert costs_of(run, "by-session") == {SESSION: (7, 15.25)}
    assert costs_of(run, "by-workflow") == {RUN: (3, 15.0), SESSION: (4, 0.25)}
    assert [row["session"] for row in rows_of(run, "by-workflow")] == [SESSION, SESSION]
    assert costs_of(run, "by-workflow", "--session", SESSION) == {RUN: (3, 15.0), SESSION: (4, 0.25)}
    assert costs_of(run, "by-session", "--workflow", RUN) == {SESSION: (3, 15.0)}
    for report, cost in (("summary", 15.25), ("costs", 15.25)):
        assert json.loads(run("analytics", report, "--json", "--session", SESSION[:8]).stdout)["total_cost"] == cost
    agents = json.loads(run("analytics", "by-agent", "--json").stdout)["agents"]
    assert {row["agent"]: row["executions"] for row in agents} == {
        "main": 1, "subagent": 4, "compaction": 1, "aside_question": 1,
    }  # fmt: skip


def test_a_run_names_its_session_in_the_table(run: Run, projects: Path) -> None:
    """By the beginning of its id."""
    with_workflow_run(projects)
    ingested(run)
    shown = run("analytics", "by-workflow", env={"COLUMNS": "120"}).stdout
    assert f"{RUN} of {SESSION[:8]} engine" in shown
    assert "Workflow or session" in shown
    assert f" {SESSION[:8]} engine " in run("analytics", "by-session").stdout


def test_the_export_keeps_session_and_branch(run: Run, projects: Path) -> None:
    """The session is kept where the workflow does not name it; importing the export changes nothing."""
    with_workflow_run(projects)
    ingested(run)
    rows = exported(run)
    assert {(row["workflow_id"], row["session_id"]) for row in rows} == {(SESSION, None), (RUN, SESSION)}
    assert {row["git_branch"] for row in rows} == {"main"}
    run("analytics", "export", "--output", "all.jsonl")
    run("import", "all.jsonl", "--db", "copy.db")
    assert costs_of(run, "by-session", "--db", "copy.db") == {SESSION: (7, 15.25)}
    assert costs_of(run, "by-branch", "--db", "copy.db") == {"main": (7, 15.25)}


def test_the_status_line_sums_the_whole_session(run: Run, projects: Path) -> None:
    """With its workflow runs."""
    with_workflow_run(projects)
    ingested(run)
    line = run("statusline", input=json.dumps({"session_id": SESSION}), at="2026-03-02 12:00:00").stdout
    assert "$15.25 session / $15.25 today" in line


def test_branches(run: Run, projects: Path) -> None:
    """Come from each line; an empty one is none."""
    for place, branch in enumerate(("main", "feat/a", "main", "", ...)):
        talk = talk_of(SMALL, str(place), gitBranch=branch)
        put(main_file(projects, f"{place}{SESSION[1:]}"), talk.lines)
    ingested(run)
    assert costs_of(run, "by-branch") == {"main": (2, 0.1), "feat/a": (1, 0.05), None: (2, 0.1)}
    assert costs_of(run, "by-branch", "--branch", "feat/a") == {"feat/a": (1, 0.05)}
    assert "(no branch)" in run("analytics", "by-branch").stdout
    done = run("analytics", "summary", "--branch", "fest/a")
    assert (done.returncode, done.stderr) == (
        1,
        "error: no branch fest/a in the store; did you mean feat/a? there are: feat/a, main\n",
    )


NAME_USER = "claude-force config set performance.user NAME"


def test_without_users_it_is_said_how_to_name_one(run: Run, projects: Path) -> None:
    """Of an unnamed person, and until somebody has a name; then the names that there are. A conversation that was read
    before has no user, also after its transcript has grown."""
    early = talk_of(SMALL, "early")
    put(main_file(projects), early.lines)
    ingested(run)
    how = f"No user is known here. To name who works on this machine from now on:\n  {NAME_USER}\n"
    assert how in run("by-user").stdout
    refused = run("summary", "--user", "ada")
    assert (refused.returncode, refused.stderr) == (
        1,
        f"error: no user ada in the store; there is none yet: {NAME_USER}\n",
    )
    assert run("config", "set", "performance.user", "ada").returncode == 0
    early.respond("msg_later", SMALL, message={"model": OPUS, "stop_reason": "end_turn"}, attributionAgent=...)
    put(main_file(projects), early.lines)
    ingested(run)
    found = {row["user"]: row["executions"] for row in json.loads(run("by-user", "--json").stdout)["users"]}
    assert found == {None: 1, "ada": 1}
    assert NAME_USER not in run("by-user").stdout
    assert "no user grace in the store; there are: ada\n" in run("by-user", "--user", "grace").stderr


@pytest.fixture
def repositories(tmp_path: Path, projects: Path) -> Path:
    """Three sessions: in a repository, in a worktree beside it, in one that Claude Code made."""
    folder = tmp_path.resolve() / "repos"
    shop, beside = folder / "shop", folder / "shop-feat-a"
    inside = shop / ".claude" / "worktrees" / "quiet-otter"
    for place, tree in enumerate((shop, beside, inside)):
        tree.mkdir(parents=True)
        own = {"sessionId": f"{place}{SESSION[1:]}", "cwd": str(tree), "gitBranch": tree.name}
        talk = talk_of(Tokens(100_000, 0, 0, 0, 0), str(place), **own)
        put(main_file(projects, own["sessionId"], f"p{place}"), talk.lines)
    for tree in (beside, inside):
        (tree / ".git").write_text(f"gitdir: {shop}/.git/worktrees/{tree.name}\n")
    return folder


def test_worktrees_are_one_project(run: Run, repositories: Path) -> None:
    """The folder of each stays in the export; reports and filters know the project, and the folder too."""
    shop = str(repositories / "shop")
    ingested(run)
    assert costs_of(run, "by-project") == {shop: (3, 1.5)}
    assert {row["project"] for row in exported(run)} == {
        shop, f"{shop}-feat-a", f"{shop}/.claude/worktrees/quiet-otter",
    }  # fmt: skip
    assert "shop  " in run("analytics", "by-project").stdout
    for name in (shop, "shop", "repos/shop"):
        assert costs_of(run, "by-project", "--project", name) == {shop: (3, 1.5)}
    for name in (f"{shop}-feat-a", "shop-feat-a", "quiet-otter"):
        assert costs_of(run, "by-project", "--project", name) == {shop: (1, 0.5)}
    assert len(costs_of(run, "by-branch", "--project", "shop")) == 3
    assert {row["project"] for row in rows_of(run, "by-session")} == {shop}
    (group,) = rows_of(run, "by-project")
    assert group["p50_latency_ms"] == 1000


def test_what_was_once_found_is_remembered(run: Run, repositories: Path, projects: Path) -> None:
    """A worktree is usually deleted; a folder that becomes a repository is found when something new runs in it."""
    shop = repositories / "shop"
    ingested(run)
    (repositories / "shop-feat-a" / ".git").unlink()
    (repositories / "shop-feat-a").rmdir()
    plain = repositories / "plain"
    (plain / "sub").mkdir(parents=True)
    talk = talk_of(SMALL, "plain", cwd=str(plain / "sub"))
    put(main_file(projects, f"9{SESSION[1:]}", "p9"), talk.lines)
    ingested(run)
    assert costs_of(run, "by-project") == {str(shop): (3, 1.5), str(plain / "sub"): (1, 0.05)}
    (plain / ".git").mkdir()
    (plain / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    ingested(run)
    assert str(plain / "sub") in costs_of(run, "by-project")
    talk.respond("msg_later", SMALL, message={"model": OPUS})
    put(main_file(projects, f"9{SESSION[1:]}", "p9"), talk.lines)
    ingested(run)
    assert costs_of(run, "by-project") == {str(shop): (3, 1.5), str(plain): (2, 0.1)}


def test_a_dry_run_remembers_nothing(run: Run, repositories: Path) -> None:
    """It stores neither executions nor repositories."""
    ingested(run, "--dry-run")
    ingested(run, "--dry-run")
    assert rows_of(run, "by-project", "--no-ingest") == []


def test_the_settings_name_and_group_projects(run: Run, repositories: Path) -> None:
    """Before repositories; a name that is not known says which there are."""
    ingested(run)
    groups = {"the shop": [f"{repositories}/shop"], "web": ["*/web"]}
    assert run("config", "set", "performance.projects", json.dumps(groups)).returncode == 0
    assert json.loads(run("config", "get", "performance.projects").stdout) == groups
    assert costs_of(run, "by-project") == {"the shop": (3, 1.5)}
    assert costs_of(run, "by-project", "--project", "the shop") == {"the shop": (3, 1.5)}
    assert costs_of(run, "by-project", "--project", "shop-feat-a") == {"the shop": (1, 0.5)}
    done = run("analytics", "by-project", "--project", "web")
    assert (done.returncode, done.stderr) == (1, "error: no project web in the store; there are: the shop\n")
    refused = run("config", "set", "performance.projects", '{"shop": ["shop"]}')
    assert refused.returncode == 2
    assert "must be full paths, not 'shop'" in refused.stderr


def test_names_are_completed(run: Run, repositories: Path) -> None:
    """Sessions, branches, projects and their folders."""
    ingested(run)

    def completed(words: str) -> list[str]:
        found = run(env={"_CLAUDE_FORCE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "4"}).stdout
        return [line.removeprefix("plain,") for line in found.splitlines()]

    assert completed("claude-force analytics summary --branch quiet") == ["quiet-otter"]
    assert completed(f"claude-force analytics summary --session 0{SESSION[1:4]}") == [f"0{SESSION[1:]}"]
    assert completed(f"claude-force analytics summary --project {repositories}/shop-") == [
        f"{repositories}/shop-feat-a"
    ]


def test_folders_of_windows_are_one_project(run: Run, projects: Path) -> None:
    """In whichever case they were written."""
    for place, folder in enumerate(("C:\\Users\\x\\shop", "c:\\users\\X\\shop", "/c/Users/x/shop", "/home/x/shop")):
        put(main_file(projects, f"{place}{SESSION[1:]}"), talk_of(SMALL, str(place), cwd=folder).lines)
    ingested(run)
    assert costs_of(run, "by-project") == {"C:\\Users\\x\\shop": (3, 0.15), "/home/x/shop": (1, 0.05)}
    assert costs_of(run, "by-project", "--project", "C:\\Users\\x\\shop") == {"C:\\Users\\x\\shop": (3, 0.15)}


def test_resumed_sessions_keep_their_workflow_runs(ingester: Ingester, tmp_path: Path) -> None:
    """A run belongs to the session whose lines name it, also when it is read in several passes."""
    talk = talk_of(SMALL, "one", agent="aw0")
    put(agent_file(tmp_path, "aw0", workflow=RUN), talk.lines)
    ingester.ingest(tmp_path)
    talk.respond("msg_two", SMALL)
    put(agent_file(tmp_path, "aw0", workflow=RUN), talk.lines)
    ingester.ingest(tmp_path)
    assert [(row["workflow_id"], row["session_id"]) for row in ingester.rows()] == [(RUN, SESSION)] * 2
