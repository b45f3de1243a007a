"""The views of the live page, in the order of the navigation, and what can be changed there."""

from __future__ import annotations

from claude_force.web.view import Action, View
from claude_force.web.views import (
    alerts,
    blocks,
    breakdown,
    executions,
    health,
    outcomes,
    overview,
    reconcile,
    run,
    runs,
    what_if,
)

VIEWS: tuple[View, ...] = (
    overview.VIEW,
    *breakdown.VIEWS,
    runs.VIEW,
    run.VIEW,
    executions.VIEW,
    outcomes.VIEW,
    what_if.VIEW,
    blocks.VIEW,
    alerts.VIEW,
    alerts.EXPLAIN,
    alerts.HISTORY,
    reconcile.VIEW,
    health.VIEW,
)

ACTIONS: tuple[Action, ...] = alerts.ACTIONS
