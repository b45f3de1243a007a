"""The network: timeouts, TLS, secrets, and one HTTP exchange with its verdict."""

from __future__ import annotations
