"""`claude-force serve` as a program: it starts, follows what is recorded, and ends clean."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import psycopg
import pytest

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import an_execution
from tests.conftest import Run
from tests.daemons import Program, eventually, serving
from tests.transcripts import Talk, main_file, put


@contextmanager
def asked(program: Program, path: str, headers: Mapping[str, str] = {}) -> Iterator[HTTPResponse]:
    """The answer of the server, and its connection until the end of the block."""
    with closing(HTTPConnection("127.0.0.1", program.port, timeout=60)) as connection:
        connection.request("GET", path, headers=dict(headers))
        yield connection.getresponse()


def executions(program: Program) -> int:
    """What the overview counts."""
    with asked(program, "/?format=json") as answer:
        found: int = json.loads(answer.read())["total_executions"]
        return found


def next_generation(events: HTTPResponse) -> int:
    """The generation of the next event; beats are passed over."""
    while True:
        line = events.readline()
        assert line, "the server has ended"
        if line.startswith(b"data: "):
            return int(line.removeprefix(b"data: "))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_one_line(home: Path, number: signal.Signals) -> None:
    """Also while pages listen; nothing is left open."""
    with serving(home) as program, asked(program, "/events") as events:
        next_generation(events)
        program.process.send_signal(number)
        output, errors = program.process.communicate(timeout=60)
        assert (output, errors, program.process.returncode) == ("", "The live page has ended\n", 0)


def test_a_signal_ends_it_while_a_question_takes_long(home: Path, postgres_url: str) -> None:
    """Within seconds and in one line; the reader's browser sees an end, no traceback."""
    with closing(open_database(postgres_url)) as database:
        Store(database).add([an_execution()])
    with (
        psycopg.connect(postgres_url) as lock,
        serving(home, "--db", postgres_url) as program,
        closing(HTTPConnection("127.0.0.1", program.port, timeout=60)) as connection,
    ):
        lock.execute("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
        connection.request("GET", "/runs")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'executions'::regclass"
        eventually(lambda: lock.execute(waiting).fetchone() != (0,))
        program.process.send_signal(signal.SIGINT)
        output, errors = program.process.communicate(timeout=60)
    assert (output, errors, program.process.returncode) == ("", "The live page has ended\n", 0)


def test_a_port_that_is_taken_is_one_line_with_a_remedy(home: Path, run: Run) -> None:
    """Nothing is served twice."""
    with serving(home) as program:
        done = run("serve", "--port", str(program.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: port {program.port} of 127.0.0.1: address already in use; choose another --port, 0 is a free one\n"
    )


def test_a_database_that_is_missing_is_refused_at_once(home: Path, run: Run) -> None:
    """A mistyped path is no empty store."""
    done = run("serve", "--port", "0", "--db", home / "mistyped.db")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no database at ")


def test_without_its_libraries_it_names_the_install_line() -> None:
    """The exact one."""
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['claude-force', 'serve', '--port', '0']\n"
        "from claude_force.cli.root import main; main()"
    )
    # A new interpreter: that of `run_code` has loaded everything.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the live page needs an extra: pip install 'claude-force[web]'\n"


def test_every_page_hears_of_an_execution_that_another_process_recorded(home: Path) -> None:
    """And reads it then. The server reads a transcript by itself."""
    with serving(home) as program:
        assert executions(program) == 0
        with asked(program, "/events") as one, asked(program, "/events") as other:
            first = next_generation(one), next_generation(other)
            with closing(open_database(str(home / ".claude" / "metrics" / "metrics.db"))) as database:
                Store(database).add([an_execution()])
            assert next_generation(one) > first[0]
            assert next_generation(other) > first[1]
            assert executions(program) == 1
            talk = Talk()
            talk.prompt()
            talk.respond("msg_1")
            put(main_file(home / ".claude" / "projects", talk.session), talk.lines)
            eventually(lambda: executions(program) == 2)


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="only root can be another user")
def test_another_user_of_the_machine_is_refused(home: Path) -> None:
    """The store is a file that only its owner can read, and so is its page. Root may read both."""
    ask = "import sys, urllib.request as ask; print(ask.urlopen(sys.argv[1]).status)"
    with serving(home) as program:
        url = f"http://127.0.0.1:{program.port}/assets/icon.svg"
        command = [shutil.which("python3", path="/usr/bin:/bin") or "python3", "-c", ask, url]
        mine, other = (
            subprocess.run(command, capture_output=True, text=True, user=user, cwd="/", check=False)
            for user in (0, 65534)
        )
    assert mine.stdout == "200\n"
    assert "HTTP Error 403: Forbidden" in other.stderr


def test_no_ingest_reads_no_transcript(home: Path) -> None:
    """The page shows what is stored."""
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1")
    put(main_file(home / ".claude" / "projects", talk.session), talk.lines)
    with serving(home, "--no-ingest") as program:
        assert executions(program) == 0
    assert not (home / ".claude" / "metrics" / "metrics.db").exists()


def test_a_page_that_is_as_it_was_is_not_sent_again(home: Path) -> None:
    """Who has it already gets no body."""
    with serving(home) as program:

        def is_not_sent() -> bool:
            """False where the minute of the page has passed in between."""
            with asked(program, "/") as answer:
                tag = {"If-None-Match": answer.headers["ETag"]}
            with asked(program, "/", tag) as answer:
                return (answer.status, answer.read()) == (304, b"")

        assert eventually(is_not_sent)
