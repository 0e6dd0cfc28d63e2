"""The real daemons, and the real database with our daemon, once a session."""

from __future__ import annotations

from tests.ofctl.conftest import switches

__all__ = ["switches"]
