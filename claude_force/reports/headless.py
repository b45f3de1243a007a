"""The lines that `claude-force run` writes when its program has ended: what it cost, and who saw it."""

from __future__ import annotations

from claude_force.database.queries.headless_runs import Seen
from claude_force.executions.record import NANOUSD
from claude_force.formatting import duration, money, quantity
from claude_force.headless.record import Recorded

NO_SESSION = "no session of an agent was found"


def cost_line(recorded: Recorded) -> str:
    """What a run cost, and how it ended."""
    run, seen = recorded.run, recorded.seen.everything
    if not seen.executions:
        found = "nothing is known of its session yet" if run.session_id else NO_SESSION
    else:
        found = f"{_costs(seen)}, {quantity(seen.executions, 'request')}, {_tokens(seen)}"
    turns = [quantity(run.turns, "turn")] if run.turns is not None else []
    ended = run.outcome or ("exit code 0" if run.exit_code == 0 else f"exit code {run.exit_code}")
    return "; ".join([found, ", ".join([ended, *turns, duration(run.duration_us / 1000)])])


def telemetry_line(recorded: Recorded) -> str | None:
    """What telemetry missed, and what it alone saw; None if the run has no session, as of a program that uses the SDK
    of the API: nothing else can see its requests."""
    everything, missed, only_heard = recorded.seen
    if not everything.executions or (recorded.run.session_id is None and not missed.executions):
        return None
    if missed.executions == everything.executions:
        return "no telemetry came: side requests, such as web searches, are not in these figures"
    parts = [f"telemetry missed {_part(missed)}" if missed.executions else "telemetry missed nothing"]
    if only_heard.executions:
        parts.append(f"only telemetry saw {_part(only_heard)}")
    return "; ".join(parts)


def _part(seen: Seen) -> str:
    return f"{quantity(seen.executions, 'request')} ({_costs(seen)})"


def _costs(seen: Seen) -> str:
    """A cost; a lower bound if that of some requests is not known."""
    if not seen.priced:
        return "unknown cost"
    return f"{'at least ' if seen.priced < seen.executions else ''}{money(seen.cost_nanousd / NANOUSD)}"


def _tokens(seen: Seen) -> str:
    """Tokens; unknown if no request with a known cost is among the requests, and none has tokens."""
    return "unknown tokens" if not (seen.tokens or seen.priced) else quantity(seen.tokens, "token")
