"""`TlvTable`: which tunnel option each tun_metadata field stands for (ovs-fields(7), "Tunnel Metadata")."""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.flow.layout import N_TUN_METADATA_WORDS, W_TUN_METADATA
from vswitch.flow.match import Match
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import nicira as n

MAX_FIELDS: Final = 64
MAX_SPACE: Final = 256
"""Bytes that the options of all fields may have together."""


@final
class TlvTable:
    """The mappings, by field number. A change is made whole or not at all."""

    def __init__(self) -> None:
        self.by_index: dict[int, n.TlvMap] = {}

    def mod(self, mod: n.TlvTableMod) -> None:
        """OfpError: NXTTMFC_BAD_FIELD_IDX, NXTTMFC_ALREADY_MAPPED, NXTTMFC_DUP_ENTRY, NXTTMFC_TABLE_FULL."""
        if mod.command == n.NXTTMC_CLEAR:
            self.by_index = {}
            return
        table = dict(self.by_index)
        for mapping in mod.mappings:
            if mapping.index >= MAX_FIELDS:
                raise OfpError("NXTTMFC_BAD_FIELD_IDX", f"tun_metadata{mapping.index}")
            if mod.command == n.NXTTMC_DELETE:
                table.pop(mapping.index, None)
                continue
            if mapping.index in table:
                raise OfpError("NXTTMFC_ALREADY_MAPPED", f"tun_metadata{mapping.index}")
            option = (mapping.option_class, mapping.option_type)
            if any((m.option_class, m.option_type) == option for m in table.values()):
                raise OfpError("NXTTMFC_DUP_ENTRY", f"option {option}")
            if sum(m.option_len for m in table.values()) + mapping.option_len > MAX_SPACE:
                raise OfpError("NXTTMFC_TABLE_FULL", f"no room for {mapping.option_len} bytes")
            table[mapping.index] = mapping
        self.by_index = table

    def reply(self) -> n.TlvTableReply:
        """What is mapped, by field number."""
        return n.TlvTableReply(
            MAX_SPACE, MAX_FIELDS, tuple(self.by_index[index] for index in sorted(self.by_index))
        )

    def check(self, match: Match) -> None:
        """OfpError NXFMFC_INVALID_TLV_FIELD: `match` looks at a field that stands for nothing."""
        words = match.mask.words
        w: i64 = 0
        while w < N_TUN_METADATA_WORDS:
            word = words[W_TUN_METADATA + w]
            if word != 0:
                index = int(w) * 2
                if (word >> 32) & 0xFFFFFFFF != 0:
                    self._mapped(index)
                if word & 0xFFFFFFFF != 0:
                    self._mapped(index + 1)
            w += 1

    def _mapped(self, index: int) -> None:
        if index not in self.by_index:
            raise OfpError("NXFMFC_INVALID_TLV_FIELD", f"tun_metadata{index}")
