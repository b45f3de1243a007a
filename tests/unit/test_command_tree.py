"""The whole tree of commands: options that are the same everywhere, and the nearest name after a typing error."""

from __future__ import annotations

import io
import re

import click
import pytest

from claude_force.cli import other_words
from claude_force.cli.analytics import REPORTS
from claude_force.cli.root import _describe, cli
from claude_force.cli.say import say
from claude_force.output import fitted
from claude_force.reports.render import Page, Section, write_page
from claude_force.settings.location import DATABASE_VARIABLE
from tests.commands import COMMANDS

WITH_PERIOD = ("--days", "--hours", "--last", "--since", "--until", "--start", "--end")
FILTERS = (
    "--agent",
    "--model",
    "--workflow",
    "--project",
    "--session",
    "--branch",
    "--label",
    "--source",
    "--host",
    "--user",
)
PLACES = ("--timezone", "--db")
OUTPUTS = ("--format", "--json", "--output")
EMPTY = ("--fail-on-empty", "--no-ingest")
ROWS = ("--limit", "--asc", "--desc")
WITHOUT_ROWS = {"summary", "export"}
OWN_OUTPUT = {"export"}
"""Reports that write their output themselves."""


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options of a command by each of their names."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    return {name: option for option in options for name in option.opts}


def described(option: click.Option) -> tuple[object, ...]:
    """What a user sees of an option."""
    return option.opts, option.secondary_opts, option.metavar, option.help, option.multiple, option.is_flag


def error_of(*arguments: str) -> str:
    """The one line that a wrong command line gets. It is refused before any database is opened."""
    with pytest.raises(click.UsageError) as refused:
        cli.main([*arguments], prog_name="claude-force", standalone_mode=False)
    message, code = _describe(refused.value)
    assert code == 2
    assert "\n" not in message
    return message


def test_every_report_takes_the_same_options() -> None:
    """The same names with the same help: who knows one report knows all. The --model of what-if is another one, and
    budgets have periods and names of their own."""
    summary = options_of(COMMANDS["summary",])
    for name in REPORTS:
        options = options_of(COMMANDS[name,])
        shared = (*WITH_PERIOD, *FILTERS, *PLACES, *EMPTY, *(() if name in OWN_OUTPUT else OUTPUTS))
        if name == "budgets":
            shared = (*PLACES, *OUTPUTS)
        if name == "what-if":
            assert "--for-model" in options
            shared = tuple(one for one in shared if one != "--model")
        assert {one: described(options[one]) for one in shared} == {one: described(summary[one]) for one in shared}


def test_every_report_with_rows_orders_and_limits_them() -> None:
    """By the same options, with the same help; so does the history of alerts."""
    expected = {name: described(options_of(COMMANDS["by-agent",])[name]) for name in ROWS}
    for path in [(name,) for name in REPORTS if name not in WITHOUT_ROWS] + [("alerts", "history")]:
        options = options_of(COMMANDS[path])
        assert {name: described(options[name]) for name in ROWS} == expected, path


def test_a_command_that_takes_a_period_takes_it_in_every_form() -> None:
    """Whoever takes --start takes --last and --since as well, with the same help. The dashboard has --last for its
    three windows."""
    assert "--last" in options_of(COMMANDS["dashboard",])
    summary = options_of(COMMANDS["summary",])
    found = {path: options_of(command) for path, command in COMMANDS.items() if "--start" in options_of(command)}
    others = {("baseline", "create"), ("baseline", "check"), ("report",), ("export",), ("alerts", "history")}
    assert others < found.keys()
    for options in found.values():
        assert {name: described(options[name]) for name in WITH_PERIOD} == {
            name: described(summary[name]) for name in WITH_PERIOD
        }


def test_short_names_are_the_same_everywhere() -> None:
    """-j is --json wherever there is JSON, -h is help, -V is the version; no short name has two meanings."""
    meanings: dict[str, set[str]] = {}
    for path, command in COMMANDS.items():
        options = options_of(command)
        assert ("-j" in options) is ("--json" in options), path
        context = click.Context(command, parent=click.Context(cli) if path else None, **cli.context_settings)
        for option in command.get_params(context):
            for short in [name for name in option.opts if not name.startswith("--")]:
                if isinstance(option, click.Option):
                    meanings.setdefault(short, set()).update(name for name in option.opts if name.startswith("--"))
        assert {"-h", "--help"} <= {name for option in command.get_params(context) for name in option.opts}
    assert meanings["-j"] == {"--json"}
    assert meanings["-h"] == {"--help"}
    assert meanings["-V"] == {"--version"}
    assert all(len(names) == 1 for names in meanings.values())


def test_the_database_is_named_before_or_after_a_command() -> None:
    """Every group above a command with --db takes it, too, and its help names the environment variable."""
    for path, command in COMMANDS.items():
        if "--db" in options_of(command):
            for end in range(len(path)):
                assert "--db" in options_of(COMMANDS[path[:end]]), path
            assert DATABASE_VARIABLE in (options_of(command)["--db"].help or "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--db", "a.db", "summary", "--db", "b.db"),
        ("--db", "a.db", "analytics", "--db", "b.db", "summary"),
        ("analytics", "--db", "a.db", "summary", "--db", "b.db"),
        ("db", "--db", "a.db", "--db", "b.db", "path"),
        ("summary", "--db", "a.db", "--db", "b.db"),
        ("--db", "a.db", "summary", "--db="),
    ],
    ids=" ".join,
)
def test_two_databases_are_refused(arguments: tuple[str, ...]) -> None:
    """Wherever they stand."""
    assert error_of(*arguments).startswith("error: --db is given twice: a.db and ")


@pytest.mark.parametrize("arguments", [("completion", "bash"), ("config", "list")], ids=" ".join)
def test_a_database_before_a_command_that_uses_none_is_refused(arguments: tuple[str, ...]) -> None:
    """It would be ignored."""
    words = " ".join(("claude-force", *arguments[: len(arguments) if arguments[0] == "config" else 1]))
    assert error_of("--db", "a.db", *arguments).startswith(f"error: {words} takes no --db")


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("by-agnt", "Did you mean 'by-agent'?"),
        ("analytics by-agnt", "Did you mean 'by-agent'?"),
        ("analytics ingest", "Did you mean 'claude-force ingest'?"),
        ("analytics summry", "Did you mean 'summary'?"),
        ("history", "Did you mean 'claude-force alerts history'?"),
        ("histroy", "Did you mean 'claude-force alerts history'?"),
        ("push promethus", "Did you mean 'prometheus'?"),
        ("db doctor", "Did you mean 'claude-force doctor'?"),
        ("Summary", "Did you mean 'summary'?"),
        ("models", "Did you mean 'by-model'?"),
        ("version", "Did you mean '--version'?"),
        ("help", "Did you mean '--help'?"),
    ],
)
def test_a_misspelt_command_names_the_nearest_of_the_whole_tree(line: str, suggestion: str) -> None:
    """One of the same group by itself, any other with its whole line."""
    assert f"No such command {line.rsplit(maxsplit=1)[-1]!r}. {suggestion} (see claude-force" in error_of(*line.split())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("today", "Try 'claude-force daily --last today'."),
        ("analytics yesterday", "Try 'claude-force daily --last yesterday'."),
        ("Status", "Try 'claude-force'."),
        ("usage", "Try 'claude-force summary'."),
        ("budget 20", "Did you mean 'budgets'?"),
        ("top", "Try 'claude-force dashboard'."),
        ("config show", "Try 'claude-force config list'."),
        ("alerts set x 20", "Try 'claude-force alerts edit NAME --threshold NUMBER'."),
        ("db where", "Try 'claude-force db path'."),
        ("daily --csv", "Try '--format csv'."),
        ("daily --yesterday", "Try '--last yesterday'."),
        ("daily -d 7", "Try '--days'."),
        ("by-agent --top 3", "Try '--limit'."),
        ("by-agent --sort cost", "Try '--sort-by'."),
        ("-v", "Try '--version'."),
        ("alerts enable daily-budget --threshold 20", "Try 'claude-force alerts edit NAME --threshold NUMBER'."),
        ("daily 7", "Try '--last 7d'."),
        ("daily 36h", "Try '--last 36h'."),
        ("daily yesterday", "Try '--last yesterday'."),
        ("daily 2026-11-28", "Try '--since 2026-11-28 --until 2026-11-28'."),
        ("export out.csv", "Try '--output out.csv'."),
        ("sessions 3e1c26d3", "Try '--session 3e1c26d3'."),
        ("by-project shop", "Try '--project shop'."),
    ],
)
def test_what_fingers_type_leads_on(line: str, hint: str) -> None:
    """A word of everyday language, an option of other programs, or a bare value names what does the same here."""
    assert f"{hint} (see claude-force" in error_of(*line.split())


def test_every_hint_is_a_command_line_that_exists() -> None:
    """None leads to a second error; and no word is the name of a command."""
    for line in {**other_words._MEANINGS, **dict.fromkeys(other_words._IN_GROUP.values())}:
        words = line.split()[1:]
        depth = max(end for end in range(len(words) + 1) if tuple(words[:end]) in COMMANDS)
        options = [word for word in words[depth:] if word.startswith("--")]
        assert set(options) <= options_of(COMMANDS[tuple(words[:depth])]).keys(), line
        assert depth or not words, line
    assert not {path[0] for path in COMMANDS if path} & other_words._COMMAND_OF.keys()
    every = {name for command in COMMANDS.values() for name in options_of(command)} | options_of(cli).keys()
    assert {meant.split()[0] for meant in other_words._OPTIONS.values()} <= every


@pytest.mark.parametrize("line", ["doctor --csv", "config list today", "completion bash 7", "db path --today"])
def test_a_hint_is_what_the_command_takes(line: str) -> None:
    """No option is named that the command does not have."""
    assert "Try" not in error_of(*line.split())


def test_a_name_that_several_groups_have_names_them() -> None:
    """All that are called so."""
    message = error_of("check")
    for group in ("db", "baseline", "alerts"):
        assert f"'claude-force {group} check'" in message


@pytest.mark.parametrize("line", ["xyzzy", "analytics xyzzy", "漢字", "-", "x" * 5000])
def test_a_name_like_no_other_gets_no_suggestion(line: str) -> None:
    """A guess that is no likeness would mislead."""
    assert "Did you mean" not in error_of(*line.split())


@pytest.mark.parametrize(
    "path",
    [path for path in COMMANDS if path and path[0] != "run" and (*path[:-1], path[-1][:-1]) not in COMMANDS],
    ids="-".join,
)
def test_every_name_is_found_without_its_last_letter(path: tuple[str, ...]) -> None:
    """A cut name of any command, typed in its own group, suggests a command. `run` is one, beside `runs`, and what
    stands behind it may be a program."""
    assert "Did you mean '" in error_of(*path[:-1], path[-1][:-1])


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("summary --agnt x", "No such option '--agnt'. Did you mean '--agent'?"),
        ("analytics trends --intervall daily", "No such option '--intervall'. Did you mean '--interval'?"),
        ("db --dbb x path", "No such option '--dbb'. Did you mean '--db'?"),
        ("--days 7 summary", "No such option '--days'. It stands behind the command."),
        ("analytics --days 7 summary", "No such option '--days'. It stands behind the command."),
        ("summary --xyzzy", "No such option '--xyzzy'."),
        ("summary -q", "No such option '-q'."),
    ],
)
def test_a_misspelt_option_names_the_nearest(line: str, end: str) -> None:
    """Of the same command. One that belongs behind the command says so."""
    assert error_of(*line.split()).startswith(f"error: {end} (see claude-force")


class TerminalOfText(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_help_breaks_no_name_at_its_hyphen() -> None:
    """A setting or a file that two lines share cannot be copied."""
    for path, command in COMMANDS.items():
        # With the settings of the program: click keeps the names of the help option that it saw first.
        settings = {**cli.context_settings, "terminal_width": 80}
        context = click.Context(command, parent=click.Context(cli) if path else None, **settings)
        broken = [line for line in command.get_help(context).splitlines() if re.search(r"\w-$", line)]
        assert not broken, path


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "message",
    ["error: short", error_of("subagents"), f"error: no database at /{'x' * 90}/metrics-2026.db; did you mean b?"],
)
def test_a_line_on_a_terminal_breaks_between_words(message: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No word is cut, so that a command can be copied; a word that is longer than a line stays whole."""
    monkeypatch.setenv("COLUMNS", str(width))
    shown = fitted(message, TerminalOfText())
    assert shown.split() == message.split()
    assert all(len(line) <= width or " " not in line for line in shown.splitlines())
    assert fitted(message, io.StringIO()) == message


def test_a_command_within_a_line_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line and a page break before it, unless it alone is longer than a line."""
    monkeypatch.setenv("COLUMNS", "40")
    command = "claude-force db restore --help"
    error = f"error: no executions in it (see {command})"
    assert fitted(error, TerminalOfText()) == f"error: no executions in it (see\n{command})"
    page, screen = (
        Page("Scheduler", [Section(None, [f"It does not run. Start it: {command}, or wait"])]),
        TerminalOfText(),
    )
    write_page(page, screen)
    assert f"\n  {command}, or\n" in re.sub(r"\x1b\[\d*m", "", screen.getvalue())
    monkeypatch.setenv("COLUMNS", "20")
    assert fitted(command, TerminalOfText()) == "claude-force db\nrestore --help"


def test_a_command_to_copy_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins with spaces. What a command says beside it is broken between words."""
    monkeypatch.setenv("COLUMNS", "40")
    screen = TerminalOfText()
    monkeypatch.setattr("sys.stderr", screen)
    for line in (
        "  claude-force db merge /home/ada/shop/.claude/metrics.db",
        "note: one two three four five six \x1b[1m eight",
    ):
        say(line, err=True)
    assert screen.getvalue().splitlines() == [
        "  claude-force db merge /home/ada/shop/.claude/metrics.db",
        "note: one two three four five six",
        "\\x1b[1m eight",
    ]
