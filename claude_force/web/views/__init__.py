"""The views of the live page, in the order of the navigation, and what can be changed there."""

from __future__ import annotations

from claude_force.web.view import Action, View
from claude_force.web.views import overview

VIEWS: tuple[View, ...] = (overview.VIEW,)

ACTIONS: tuple[Action, ...] = ()
