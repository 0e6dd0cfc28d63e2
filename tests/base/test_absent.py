"""Modules that can't be imported for a while."""

from __future__ import annotations

import sys

import pytest

from vswitch.base.absent import absent


def test_what_is_not_loaded_is_absent_within_only() -> None:
    sys.modules.pop("wave", None)
    with absent("wave", "sys"):
        import sys as there  # noqa: F401

        with pytest.raises(ImportError):
            import wave
    import wave  # noqa: F401


def test_it_is_back_after_an_error() -> None:
    sys.modules.pop("wave", None)
    with pytest.raises(KeyError), absent("wave"):
        raise KeyError
    import wave  # noqa: F401
