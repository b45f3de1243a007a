"""What is said over a network, whoever says it: secrets, connections, one exchange over HTTP and its verdict."""

from __future__ import annotations
