"""What is wrong with an installation, and what to do about it: checks that look, change nothing, and never fail."""

from __future__ import annotations
