"""Recording: what is recorded of a call, under which names, and where it is kept.

| a program                           | its calls are kept in the spool of | and stored by             |
|-------------------------------------|------------------------------------|---------------------------|
| under `claude-force run`            | the store of the run               | the run, when it has ended |
| that called `claude_force.instrument` | the store of its folder            | itself, a second later    |
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from claude_force.anthropic_sdk.calls import (
    CANCELLED,
    Call,
    Fields,
    encode_fields,
    end_open_calls,
    is_messages,
    message_fields,
    value_of,
)
from claude_force.anthropic_sdk.hooks import wrap_sdk
from claude_force.anthropic_sdk.keeping import MARK, Keeper
from claude_force.anthropic_sdk.storing import Storing
from claude_force.executions.origin import project_of_working_folder
from claude_force.executions.tracked_blocks import is_in_block
from claude_force.settings.telemetry_variables import LABEL, LABEL_VARIABLE, RESOURCE_ATTRIBUTES, RUN

logger = logging.getLogger("claude_force")

CALLS_VARIABLE = "CLAUDE_FORCE_CALLS"
"""The spool that `claude-force run` reads when its program has ended."""

_PYTHON_PATH = "PYTHONPATH"
_STARTUP = Path(__file__).parent / "startup"
"""The folder whose `sitecustomize` records the calls of a program in Python that finds it in PYTHONPATH."""

_SERVICE = "OTEL_SERVICE_NAME"
_ENDED_OTHERWISE = {"canceled": CANCELLED}
_ID_LENGTH = 200


class Recording:
    """Records the calls of this process. Nothing raises but `store`."""

    def __init__(self, database: str | None = None) -> None:
        self._given: tuple[str | None, str | None, str | None] = None, None, None
        self._database = database
        self._is_on = True

    def begin(self, client: Any, options: Any) -> Call | None:
        """Begin a call; None if it is not recorded: it is no request to a model, or a `track()` block records it."""
        try:
            if not is_messages(options) or is_in_block() or self._keeper is None:
                return None
            return Call(client, options, self._names, self._keep)
        except Exception as error:  # the program must go on, whatever happens here
            logger.debug("a call of the Anthropic SDK is not recorded: %s", error)
            return None

    def keep_results(self, results: Iterable[Fields]) -> int:
        """Keep calls of which only the results are known; returns how many there are."""
        number = 0
        for number, fields in enumerate(results, 1):  # noqa: B007
            if self._keeper is not None:
                self._keep({**self._names, **fields})
        return number

    def _keep(self, fields: Fields) -> None:
        if self._keeper is not None:
            self._keeper.keep(encode_fields(fields))
        if self._storing is not None:
            self._storing.wake()

    def rename(self, agent: str | None, project: str | None, label: str | None = None) -> None:
        """Give the calls that begin from now on other names; None for those of the environment."""
        # A path is usual for a project.
        self._given = agent and str(agent), project and str(project), label
        vars(self).pop("_names", None)

    @functools.cached_property
    def _names(self) -> Fields:
        """The names of every call. Worked out at the first one, since `sys.argv` is not complete before."""
        agent, project, label = self._given
        given = os.environ.get(RESOURCE_ATTRIBUTES, "")
        pairs = (part.partition("=") for part in given.split(","))
        found = {name.strip(): unquote(value.strip()) for name, _, value in pairs if value.strip()}
        service = os.environ.get(_SERVICE) or found.get("service.name")
        label = _label(label or os.environ.get(LABEL_VARIABLE) or found.get(LABEL))
        return {
            "agent_name": agent or found.get("agent") or service or _program(),
            "project": project or found.get("project") or project_of_working_folder(),
            # A label is one of a session, so a program that is in none begins one.
            "session_id": found.get(RUN) or (label and self._session),
            "label": label,
        }

    @functools.cached_property
    def _session(self) -> str:
        import uuid

        return str(uuid.uuid4())

    @functools.cached_property
    def _keeper(self) -> Keeper | None:
        """Where calls are kept; None if the settings say that nothing is recorded, or there is no place."""
        given = os.environ.get(CALLS_VARIABLE)
        try:
            folder = Path(given) if given else self._folder_of_store()
        except Exception as error:  # the program goes on; asking at each call would take it long
            logger.warning("calls of the Anthropic SDK are not recorded: %s", error)
            return None
        if folder is None:
            return None
        atexit.register(self._finish)
        return Keeper(folder)

    @functools.cached_property
    def _storing(self) -> Storing | None:
        return None if os.environ.get(CALLS_VARIABLE) else Storing(self.store)

    def _folder_of_store(self) -> Path | None:
        """The spool of the store; that of the usual store if the settings cannot be read."""
        from claude_force.errors import SettingsError
        from claude_force.ingest.spool_files import telemetry_folders
        from claude_force.settings.claude_json import load_settings
        from claude_force.settings.home import find_home
        from claude_force.settings.location import database_location

        home = find_home()
        try:
            settings, _ = load_settings(home)
            location = database_location(settings, home, self._database)
        except SettingsError as error:
            logger.warning("%s; calls of the Anthropic SDK wait in the folder of the usual store", error)
            return telemetry_folders(str(home.database_file), home.metrics_folder)[0]
        return telemetry_folders(location, home.metrics_folder)[0] if settings.tracking_enabled else None

    def _finish(self) -> None:
        """Keep what is open, since the program ends, and have it stored."""
        end_open_calls()
        if self._storing is not None:
            self._storing.finish()
        if self._keeper is not None:
            self._keeper.finish()

    def store(self) -> None:
        """Store what is kept, also by other programs like this. Raises ClaudeForceError or OSError; then it stays."""
        from claude_force.clock import now_us
        from claude_force.database.workspace import workspace_at
        from claude_force.executions.signals import decode
        from claude_force.ingest.plan import ingest_options
        from claude_force.ingest.report import SourceReport
        from claude_force.ingest.telemetry.segments import SEALED, sealed_segments
        from claude_force.ingest.telemetry.telemetry_pass import store_segments, store_signals
        from claude_force.settings.home import find_home

        keeper = self._keeper
        if keeper is None:
            return
        workspace, _ = workspace_at(find_home(), self._database)
        try:
            options, report = ingest_options(workspace, now_us()), SourceReport()
            # First those that are sealed: while they cannot be stored, no more are sealed, and files stay few.
            store_segments(workspace.database, sorted(keeper.folder.glob(f"*{MARK}*{SEALED}")), options, report)
            segments = [path for path in sealed_segments(keeper.folder) if MARK in path.name]
            store_segments(workspace.database, segments, options, report)
            with keeper.waiting() as lines:
                store_signals(workspace.database, [decode(line) for line in lines], options, report)
        finally:
            workspace.database.close()


def with_recording(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variables of a program, so that it keeps its calls in a spool of signals, and every program in Python that it
    starts."""
    paths = filter(None, (str(_STARTUP), environment.get(_PYTHON_PATH)))
    return {**environment, CALLS_VARIABLE: str(folder), _PYTHON_PATH: os.pathsep.join(paths)}


def _program() -> str:
    """The name of the program: that of its file, or of its package."""
    path = Path(sys.argv[0] if sys.argv and sys.argv[0] else "python")
    return (path.parent.name if path.stem == "__main__" else path.stem) or "python"


def _label(given: object) -> str | None:
    """A label, if it is valid; otherwise a warning says why there is none."""
    if not given:
        return None
    # Imported here: most programs have no label.
    from claude_force.errors import InvalidRecord
    from claude_force.executions.run_labels import check_label

    try:
        return check_label(given)
    except InvalidRecord as error:
        logger.warning("%s; calls of the Anthropic SDK are recorded without it", error)
        return None


_recording: Recording | None = None


def instrument(
    agent: str | None = None, project: str | None = None, *, label: str | None = None, database: str | None = None
) -> None:
    """Record every call that this program makes with the Anthropic SDK, from now on: each is one execution.

    Call it once, before or after the SDK is imported; calling it again changes the names only. It loads nothing heavy
    before the first call, raises nothing and makes no call wait. A call inside a `track()` block is recorded by that
    block.

    Args:
        agent: the name of the agent. Default: `agent` of OTEL_RESOURCE_ATTRIBUTES (`claude-force run --agent`),
            OTEL_SERVICE_NAME, or the name of the program.
        project: what it works on. Default: `project` of OTEL_RESOURCE_ATTRIBUTES, or the working folder.
        label: marks what it does, to compare it with other labels. Default: CLAUDE_FORCE_LABEL, which `claude-force
            run --label` sets, or `label` of OTEL_RESOURCE_ATTRIBUTES.
        database: a path or URL. Default: that of the command line in the working folder.
    """
    _of_process(database).rename(agent, project, label)
    wrap_sdk()


def record_batch(results: Iterable[Any]) -> int:
    """Record the results of a message batch, at the prices of batches; returns how many there are.

    `results` are those of `client.messages.batches.results(id)`, as objects or as mappings; they are read to their end.
    Recording them again adds nothing; a list does not say its batch, so that those without an answer are told apart by
    their `custom_id` alone. A result that failed, expired or was cancelled is a failure that used nothing.
    """
    batch = value_of(value_of(results, "http_response"), "url")
    return _of_process().keep_results(_fields_of_result(result, str(batch or "")) for result in results)


def begin(client: Any, options: Any) -> Call | None:
    """Begin a call of this process; None if it is not recorded."""
    return _of_process().begin(client, options)


def _of_process(database: str | None = None) -> Recording:
    global _recording  # noqa: PLW0603  (one for a process, as the SDK is)
    if _recording is None:
        _recording = Recording(database)
    return _recording


def _fields_of_result(result: Any, batch: str) -> Fields:
    answer = value_of(result, "result")
    at = {"at_us": time.time_ns() // 1000, "is_batch": True}
    message = value_of(answer, "message")
    if message is not None:
        return {**message_fields(message), **at}
    kind, error = value_of(answer, "type"), value_of(answer, "error")
    return {
        **at,
        "response_id": f"{batch}#{value_of(result, 'custom_id')}"[-_ID_LENGTH:],
        "request_id": value_of(error, "request_id"),
        "error_type": value_of(value_of(error, "error"), "type") or _ENDED_OTHERWISE.get(kind, kind),
    }
