"""Event counters and their rates."""

import pytest

from vswitch.base import coverage


def test_a_name_is_one_counter() -> None:
    c = coverage.counter("test_one_counter")
    c.inc()
    coverage.counter("test_one_counter").inc(2)
    assert coverage.get("test_one_counter") is c
    assert c.total == 3
    assert coverage.get("test_no_such_counter") is None


def test_rates_over_5_seconds_a_minute_and_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "_next_slot_at", -1)
    c = coverage.counter("test_rates")
    now = 1_000_000_000
    coverage.run(now)
    coverage.run(now + 5000)
    now += 5000
    c.inc(10)
    coverage.run(now + 5000)
    assert c.rates() == (2.0, 10 / 60, 10 / 3600)
    coverage.run(now + 10_000)
    assert c.rates() == (0.0, 10 / 60, 10 / 3600)
    coverage.run(now + 120_000)
    assert c.rates() == (0.0, 0.0, 10 / 3600)
    coverage.run(now + 2 * 3_600_000 + 60_000)
    assert c.rates() == (0.0, 0.0, 0.0)
    assert c.total == 10


def test_show_has_the_layout_of_ovs() -> None:
    coverage.counter("test_show").inc(7)
    coverage.counter("test_never")
    text = coverage.show()
    first, *_ = text.splitlines()
    assert first.startswith("Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash=")
    assert "test_show                  0.0/sec     0.000/sec        0.0000/sec   total: 7\n" in text
    assert "test_never" not in text
    assert text.endswith(" events never hit\n")
