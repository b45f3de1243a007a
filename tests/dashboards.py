"""The Grafana dashboard, read as Grafana does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.conftest import ROOT

VALUES = {"agent": ".*", "model": ".*", "instance": ".*", "window": "1h", "__range": "1h"}
"""What stands for the variables where all is chosen."""

VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def dashboard() -> Any:
    """The Grafana dashboard in docs/."""
    return json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))


def panels() -> list[dict[str, Any]]:
    """Its panels, without the titles of rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Every expression, by the title of its panel and its letter."""
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}


def filled(text: str, values: Mapping[str, str] = VALUES) -> str:
    """A text with values for its variables."""
    return VARIABLE.sub(lambda found: values[found[1]], text)
