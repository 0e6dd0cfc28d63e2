"""Every key of every QoS type, right, at its limits and wrong, beside the real switch.

`tests/bridge/test_qos_keys.py` has the cases, and goes through the manual.
"""

from __future__ import annotations

from tests.bridge.pair import Side
from tests.bridge.test_devices import pair
from tests.bridge.test_qos_keys import compare

__all__ = ["pair"]


def test_each_key_tells_the_kernel_what_the_real_one_s_does(pair: list[Side]) -> None:
    compare(pair, n=6)
