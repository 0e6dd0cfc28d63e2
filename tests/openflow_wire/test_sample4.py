"""NXAST_SAMPLE4 (Open vSwitch 3.4): observers whose numbers come from fields."""

from __future__ import annotations

import pytest

from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.action_text import format_actions, parse_actions
from vswitch.openflow.actions import Action
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.version import OFP10


def encoded(actions: tuple[Action, ...]) -> str:
    w = Writer()
    put_actions(w, actions, OFP10)
    return w.getvalue().hex()


def decoded(text: str) -> tuple[Action, ...]:
    data = bytes.fromhex(text)
    return get_actions(Reader(data), len(data), OFP10)


HEAD = "ffff002800002320003300 09 00000001".replace(" ", "")
TEXTS = {
    "sample(probability=9,collector_set_id=1,obs_domain_id=NXM_NX_REG3[4..19],obs_point_id=7)":
        HEAD + "00010604" + "010f0000" + "00000000" + "00000007" + "ffff" + "00" + "0000000000",
    "sample(probability=9,collector_set_id=1,obs_domain_id=0,obs_point_id=NXM_NX_CT_LABEL[32..63],"
    "sampling_port=2,egress)":
        HEAD + "00000000" + "00000000" + "0001d810" + "081f0000" + "0002" + "02" + "0000000000",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_text_and_bytes_are_the_same_action(text: str) -> None:
    actions = parse_actions(text)
    assert encoded(actions) == TEXTS[text]
    assert decoded(TEXTS[text]) == actions
    assert format_actions(actions) == text


@pytest.mark.parametrize(
    ("spoilt", "error"),
    [
        (HEAD + "00010604" + "003f0000" + "00" * 16, "OFPBAC_BAD_SET_LEN"),
        (HEAD + "0001fe04" + "001f0000" + "00" * 16, "OFPBAC_BAD_SET_TYPE"),
        (HEAD + "00" * 19 + "0000000001", "NXBRC_MUST_BE_ZERO"),
        (HEAD + "00" * 18 + "03" + "00" * 5, "OFPBAC_BAD_ARGUMENT"),
        (HEAD.replace("3300090", "3300000") + "00" * 24, "OFPBAC_BAD_ARGUMENT"),
    ],
)  # fmt: skip
def test_what_is_no_sample_is_refused(spoilt: str, error: str) -> None:
    with pytest.raises(OfpError) as raised:
        decoded(spoilt)
    assert raised.value.name == error


def test_a_number_of_more_than_32_bits_is_refused() -> None:
    with pytest.raises(FlowSyntaxError, match="has at most 32 bits, but metadata has 64"):
        parse_actions("sample(probability=9,collector_set_id=1,obs_point_id=metadata)")
