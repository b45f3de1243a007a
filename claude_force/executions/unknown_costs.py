"""Why a cost is not known, where it is not about a price."""

from __future__ import annotations

NO_USAGE = "no usage was reported"
PRICED_TODAY = "recorded without a cost; claude-force db reprice adds it"
