"""The views for everybody who asks by SQL: stable names and units over tables that may change.

An upgrade that reaches the newest revision makes them (see `migrate`), so a change of a view needs a revision.
"""

from __future__ import annotations

from claude_force.database.views.executions import DAILY, EXECUTIONS
from claude_force.database.views.others import ALERTS, OUTCOMES
from claude_force.database.views.runs import RUNS

VIEWS = (EXECUTIONS, DAILY, RUNS, ALERTS, OUTCOMES)

EXAMPLE = "SELECT agent, SUM(cost) FROM daily_v1 GROUP BY agent"
"""A query to begin with."""
