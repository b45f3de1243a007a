"""Channels that run programs: how they are called, and that none of them blocks the sender."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_force.alerts.channels.command import Apprise, Command, Desktop, desktop_command
from claude_force.network.redaction import Secret
from tests.builders import a_notification
from tests.counterparts import HANG, scripted

PATH = {"PATH": "/usr/bin:/bin"}


def sh(script: str, timeout_s: float = 60) -> Command:
    """A channel that runs a shell script."""
    return Command("cmd", ("/bin/sh", "-c", script), PATH, timeout_s)


def test_a_program_gets_json_and_a_few_variables(tmp_path: Path) -> None:
    """The JSON of a webhook on its input, and what a shell script needs in its environment."""
    script = f"cat > {tmp_path}/input; env | grep ^CLAUDE_FORCE_ALERT_ | sort > {tmp_path}/variables"
    assert sh(script).send([a_notification()], "key", None).status == "delivered"
    assert json.loads((tmp_path / "input").read_text())["notices"][0]["details"]["success_rate"] == 87.5
    assert (tmp_path / "variables").read_text().splitlines() == [
        "CLAUDE_FORCE_ALERT_ACTION=trigger",
        "CLAUDE_FORCE_ALERT_COUNT=1",
        "CLAUDE_FORCE_ALERT_ID=key",
        "CLAUDE_FORCE_ALERT_PERIOD=Last 1 hour",
        "CLAUDE_FORCE_ALERT_SEVERITY=critical",
        "CLAUDE_FORCE_ALERT_SUMMARY=Success rate dropped to 87.5%",
        "CLAUDE_FORCE_ALERT_TEXT=Claude Force Performance Alert - Low Success Rate",
        "CLAUDE_FORCE_ALERT_TITLE=Low Success Rate",
    ]


@pytest.mark.parametrize(
    ("script", "status", "problem"),
    [
        ("exit 1", "retry", "/bin/sh: exit code 1"),
        ("echo busy; exit 75", "retry", "/bin/sh: exit code 75: busy"),
        ("echo first; echo last >&2; exit 64", "failed", "/bin/sh: exit code 64: last"),
        ("exit 78", "failed", "/bin/sh: exit code 78"),
        ("exit 126", "failed", "/bin/sh: exit code 126"),
        ("exit 127", "failed", "/bin/sh: exit code 127"),
        ("kill -TERM $$", "retry", "/bin/sh: killed by signal 15"),
        ("printf '\\033[31mred\\000'; exit 1", "retry", "/bin/sh: exit code 1: \\x1b[31mred\\x00"),
        ("exec < /dev/null; exit 0", "delivered", None),
    ],
)
def test_the_exit_code_decides_the_outcome(script: str, status: str, problem: str | None) -> None:
    """0 is delivered; a code that a retry would not change is failed; the last line of output is the reason."""
    outcome = sh(script).send([a_notification()], "key", None)
    assert (outcome.status, outcome.problem) == (status, problem)


def test_secrets_of_the_environment_are_redacted() -> None:
    """The values of variables named key, token or password are hidden in the reason."""
    environment = PATH | {"PAGERDUTY_API_KEY": "ap1k3y-ap1k3y", "SMTP_PASSWORD": "p4ssw0rd", "KEYS": "5"}
    script = "echo 5 wrong: $PAGERDUTY_API_KEY $SMTP_PASSWORD; exit 1"
    outcome = Command("cmd", ("/bin/sh", "-c", script), environment).send([a_notification()], "key", None)
    assert outcome.problem == "/bin/sh: exit code 1: 5 wrong: *** ***"


def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    """The pipe that its child holds is at its end, so the child is gone too."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    outcome = sh(f"sleep 600 > {pipe} & sleep 600", 0.5).send([a_notification()], "key", None)
    assert outcome == ("retry", "/bin/sh did not end within 0.5 seconds and was killed", None, None)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_program_with_endless_output_is_killed() -> None:
    """Its output is not kept."""
    assert sh("yes", 0.5).send([a_notification()], "key", None).status == "retry"


def test_background_processes_are_not_waited_for() -> None:
    """Though they hold the output open."""
    assert sh("sleep 5 & exit 0").send([a_notification()], "key", None).status == "delivered"


def test_a_missing_program_fails(tmp_path: Path) -> None:
    """It may have been removed after the channel was made."""
    gone = Command("cmd", (str(tmp_path / "gone"),), PATH)
    assert (
        gone.send([a_notification()], "key", None).problem
        == f"{tmp_path}/gone cannot be run: No such file or directory"
    )
    (tmp_path / "text").write_text("no program")
    assert Command("cmd", (str(tmp_path / "text"),), PATH).send([a_notification()], "key", None).status == "failed"


def test_notify_send_is_called_with_arguments() -> None:
    """After -- nothing is an option; markup and backslashes in names are escaped."""
    notification = a_notification(title="--help", summary="<b>\\033[31m & more")
    assert desktop_command([notification], "linux") == [
        "notify-send",
        "--app-name=Claude Force",
        "--urgency=critical",
        "--",
        "🚨 Claude Force Performance Alert",
        "--help: &lt;b&gt;\\\\033[31m &amp; more",
    ]
    assert "--urgency=normal" in desktop_command([a_notification(action="resolve")], "linux")


def test_osascript_gets_the_texts_as_arguments(tmp_path: Path) -> None:
    """No text of a notification is in the script, so no quote can end a string of AppleScript."""
    program = tmp_path / "osascript"
    program.write_text(f'#!/bin/sh\nfor part in "$@"; do printf \'%s\\n\' "$part"; done > {tmp_path}/kept\n')
    program.chmod(0o755)
    hostile = '-e "& do shell script "touch owned" &"\\'
    channel = Desktop("desk", {"PATH": f"{tmp_path}:/usr/bin:/bin"}, "darwin")
    command = desktop_command([a_notification(title=hostile)], "darwin")
    assert [part for part in command if hostile in part] == [command[-1]]
    assert command[command.index("end run") + 1] == "claude-force"
    assert channel.send([a_notification(title=hostile)], "key", None).status == "delivered"
    assert (tmp_path / "kept").read_text().splitlines()[-1] == f"{hostile}: Success rate dropped to 87.5%"


def test_apprise_that_hangs_is_killed() -> None:
    """It has no reliable timeout of its own."""
    with scripted([HANG]) as server:
        url = Secret(server.url.replace("http://", "json://"))
        outcome = Apprise("many", url, os.environ, 3).send([a_notification()], "key", None)
    assert outcome.status == "retry"
    assert "did not end within 3 seconds" in str(outcome.problem)


def test_apprise_imports_nothing_from_the_working_folder(home: Path) -> None:
    """A file there with the name of a module is ignored."""
    (home / "apprise.py").write_text("open('owned', 'w')\n")
    with scripted() as server:
        url = Secret(server.url.replace("http://", "json://"))
        assert Apprise("many", url, os.environ).send([a_notification()], "key", None).status == "delivered"
    assert not (home / "owned").exists()


_WITHOUT_APPRISE = """
import sys
from pathlib import Path
sys.modules["apprise"] = None
from claude_force.alerts.channels.settings import load_channels
print(*load_channels({"many": {"type": "apprise", "url": "${URL}"}}, {"URL": "json://x"}, Path()))
"""


def test_without_the_extra_the_problem_is_the_install_command() -> None:
    """As the only problem."""
    done = subprocess.run([sys.executable, "-c", _WITHOUT_APPRISE], capture_output=True, text=True, check=True)
    problem = "many: type \"apprise\" needs a package that is not installed; pip install 'claude-force[apprise]'"
    assert done.stdout == f"{{}} {[problem]}\n"
