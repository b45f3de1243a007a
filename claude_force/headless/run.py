"""One run of a program: with a receiver of its own, whose address it gets, and recorded when it has ended.

Nothing of ours may break the program. What fails before it starts leaves it without a receiver; what fails afterwards
is told, and its output and exit code stand.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO, NamedTuple

from claude_force.clock import Now
from claude_force.database.workspace import Workspace
from claude_force.executions.signals import ModelRequest, Signal
from claude_force.headless.child import SignalsHeld, run_child
from claude_force.headless.output import has_results, resumed_session
from claude_force.headless.record import Ended
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.ingest.telemetry.spool import TelemetrySpool
from claude_force.settings.telemetry_variables import (
    JSON,
    LABEL,
    LABEL_VARIABLE,
    RESOURCE_ATTRIBUTES,
    RUN,
    telemetry_variables,
    with_attributes,
)


class Wanted(NamedTuple):
    """What to run, and in which folder, which is the working folder; and under which names: of the agent, of the
    project, and the label."""

    command: Sequence[str]
    folder: str
    agent: str | None = None
    project: str | None = None
    label: str | None = None


class Listener:
    """Takes the telemetry of a run into the spool, and remembers the sessions that it names."""

    def __init__(self, workspace: Workspace) -> None:
        self._spool = TelemetrySpool(telemetry_folders(workspace.location, workspace.home.metrics_folder)[0])
        self._sessions: dict[str, None] = {}

    def append(self, signals: list[Signal]) -> None:
        """Keep signals; they are on the disk when this returns. Raises OSError."""
        self._spool.append(signals)
        for signal in signals:
            if isinstance(signal, ModelRequest) and signal.session_id:
                self._sessions[signal.session_id] = None

    def seal(self) -> None:
        """Give what came to the next pass."""
        self._spool.seal()

    @property
    def sessions(self) -> list[str]:
        """The sessions, in the order in which they were first named."""
        return list(self._sessions)


class Done(NamedTuple):
    """A run that has ended. `problem` is why its telemetry could not be heard."""

    ended: Ended
    problem: str | None


Serve = Callable[[Listener], AbstractContextManager[str]]
"""Starts a receiver that hands its signals to a listener; yields its address. If it fails, the run has no telemetry."""


@contextmanager
def run(
    wanted: Wanted, workspace: Workspace | None, environment: Mapping[str, str], serve: Serve, now: Now
) -> Iterator[Done]:
    """Run a program to its end. The copy of its output is there for the block. Without a workspace its telemetry is not
    heard.

    `environment` are its variables, to which those of telemetry are added. Raises OSError if it cannot be started.
    """
    run_id = str(uuid.uuid4())
    with ExitStack() as stack:
        copy = _copy(stack) if has_results(wanted.command) else None
        with SignalsHeld() as held, _hearing(workspace, serve) as hearing:
            variables = _variables(environment, hearing.address, run_id, wanted)
            started_us = now()
            code = run_child(wanted.command, variables, held, copy)
            ended_us = now()
        output = None
        if copy is not None:
            copy.seek(0)
            output = stack.enter_context(open(copy.fileno(), "rb", closefd=False))
        ended = Ended(
            run_id, wanted.agent, wanted.project, wanted.folder, started_us, ended_us, code, hearing.sessions(),
            resumed_session(wanted.command), output, wanted.label,
        )  # fmt: skip
        yield Done(ended, hearing.problem)


class _Hearing(NamedTuple):
    """How the telemetry of a run is heard: the address that its program gets, or why there is none."""

    listener: Listener | None = None
    address: str | None = None
    problem: str | None = None

    def sessions(self) -> list[str]:
        return self.listener.sessions if self.listener else []


@contextmanager
def _hearing(workspace: Workspace | None, serve: Serve) -> Iterator[_Hearing]:
    """A receiver for the block; none without a workspace, or if it cannot be started."""
    if workspace is None:
        yield _Hearing()
        return
    with ExitStack() as stack:
        try:
            listener = Listener(workspace)
            hearing = _Hearing(listener, stack.enter_context(serve(listener)))
        except Exception as error:  # the program must start, whatever happens here
            hearing = _Hearing(problem=str(error) or type(error).__name__)
        yield hearing
    if hearing.listener is not None:
        hearing.listener.seal()


def _variables(environment: Mapping[str, str], address: str | None, run_id: str, wanted: Wanted) -> dict[str, str]:
    """The variables of the program."""
    names = {RUN: run_id, "project": wanted.project, "agent": wanted.agent, LABEL: wanted.label}
    label = {LABEL_VARIABLE: wanted.label} if wanted.label else {}
    attributes = with_attributes(environment.get(RESOURCE_ATTRIBUTES), names)
    heard = telemetry_variables(address, JSON) if address else {}
    return {**environment, **heard, **label, RESOURCE_ATTRIBUTES: attributes}


def _copy(stack: ExitStack) -> IO[bytes] | None:
    """A file without a name for what the program writes; None if there can be none."""
    try:
        return stack.enter_context(tempfile.TemporaryFile())
    except OSError:
        return None
