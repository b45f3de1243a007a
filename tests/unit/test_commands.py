"""The names of the reports: each is a command of the program, and one under `analytics`."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from claude_force.cli.analytics import REPORTS, analytics
from claude_force.cli.root import SECTIONS, cli


def command_at(group: click.Command, name: str) -> click.Command | None:
    """The command that a group runs under a name."""
    assert isinstance(group, click.Group)
    return group.get_command(click.Context(group), name)


def completed(*arguments: str) -> set[str]:
    """The commands that a shell offers behind some words, for an unfinished last one."""
    shell = ShellComplete(cli, {}, "claude-force", "_X")
    items = shell.get_completions([*arguments[:-1]], arguments[-1])
    return {str(item.value) for item in items}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_one_command_with_two_names(name: str) -> None:
    """`claude-force NAME` and `claude-force analytics NAME` are one object: no option can differ."""
    found = command_at(cli, name)
    assert found is not None
    assert found is command_at(analytics, name)


@pytest.mark.parametrize("path", [(), ("analytics",)])
@pytest.mark.parametrize("name", REPORTS)
def test_a_usage_error_names_what_was_typed(path: tuple[str, ...], name: str) -> None:
    """The remedy is the help of the command under the name that was used."""
    with pytest.raises(click.UsageError) as caught:
        cli.main([*path, name, "--no-such-option"], prog_name="claude-force", standalone_mode=False)
    assert caught.value.ctx is not None
    assert caught.value.ctx.command_path == " ".join(("claude-force", *path, name))


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("by-", {name for name in REPORTS if name.startswith("by-")}),
        ("exp", {"export"}),
        ("summ", {"summary"}),
        ("rep", {"report"}),
    ],
)
def test_every_name_is_completed(typed: str, offered: set[str]) -> None:
    """Names that the help page leaves out are completed too."""
    assert completed(typed) == offered


def test_the_help_of_the_program_has_the_first_line_of_each_help() -> None:
    """They are written twice, so that the page imports no command."""
    context = click.Context(cli, info_name="claude-force")
    for lines in SECTIONS.values():
        for name, line in lines.items():
            command = cli.get_command(context, name)
            assert command is not None
            assert command.get_short_help_str(100) == line


def test_the_help_of_the_program_lists_the_usual_reports_only() -> None:
    """It fits a screen, and sends to the list of all reports."""
    context: Any = click.Context(cli, info_name="claude-force", **{**cli.context_settings, "terminal_width": 80})
    text = cli.get_help(context)
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.split()}
    assert listed >= {name for names in SECTIONS.values() for name in names}
    assert not listed & {"by-branch", "by-workflow", "reconcile", "backfill", "export"}
    assert len(text.splitlines()) <= 50
