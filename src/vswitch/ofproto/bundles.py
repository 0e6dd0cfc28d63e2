"""Bundles: modifications that take effect together, or not at all (OpenFlow 1.4, 6.8).

The messages of a bundle are decoded and checked as they come. A commit carries them out one by one and
keeps what undoes each; nothing that waits for packets runs in between, so that every packet sees
the tables before or after. What other connections and controllers hear of is held back until the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from vswitch.base import coverage
from vswitch.flow.fields import by_name
from vswitch.ofproto.bundle import Bundle, Entry
from vswitch.ofproto.flow_mod_log import FlowModLog
from vswitch.ofproto.handlers_flow import DELETES, check_flow_mod
from vswitch.ofproto.handlers_group import apply_group_mod
from vswitch.ofproto.handlers_port import apply_port_mod, check_packet_out, check_port_mod
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.messages.group import GroupMod
from vswitch.openflow.messages.packet import PacketOut
from vswitch.openflow.messages.port import Port, PortMod
from vswitch.openflow.wire.codec import Message, decodable_length, decode

if TYPE_CHECKING:
    from vswitch.ofproto.group_refs import Undo
    from vswitch.ofproto.ofproto import Ofproto, StartedPacketOut
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto.tables import RuleChange

_IN_PORT: Final = by_name("in_port")
A_FEW: Final = 7
"""Messages are carried out so quickly that only before every eighth there is a look at the time."""

bundle_committed: Final = coverage.counter("ofproto_bundle_commit")
bundle_failed: Final = coverage.counter("ofproto_bundle_failed")


class BundleError(Exception):
    """A commit failed: which message, and why."""

    def __init__(self, entry: Entry, error: OfpError) -> None:
        super().__init__(str(error))
        self.entry: Entry = entry
        self.error: OfpError = error


def read_entry(ofproto: Ofproto, inner: bytes, outer: bytes, flow_mod_table_id: bool) -> Entry:
    """Decode the message `inner` that `outer` puts into a bundle, and check what does not depend on
    the tables. OfpError."""
    try:
        message: Message = decode(inner, flow_mod_table_id)
    except OfpError:
        if not decodable_length(inner):
            what = f"a message of type {inner[1]} of {len(inner)} bytes"
            raise OfpError("OFPBFC_MSG_UNSUP", what) from None
        raise
    body = message.body
    if isinstance(body, FlowMod):
        check_flow_mod(ofproto, body, message.version, message.form)
        if body.command not in DELETES:
            ofproto.tables.check_writable(body)
            ofproto.check_possible(body)
    elif isinstance(body, PacketOut):
        check_packet_out(ofproto, body, message.version)
    elif not isinstance(body, GroupMod | PortMod):
        raise OfpError("OFPBFC_MSG_UNSUP", type(body).__name__)
    return Entry(body, outer, message.version)


def commit(ofproto: Ofproto, bundle: Bundle, now: int) -> FlowModLog:
    """Carry out all that is in `bundle`; what flow mods that were. BundleError: one message is refused, and
    nothing has changed."""
    if ofproto.connmgr.n_tell_removed and any(_deletes(entry.body) for entry in bundle.entries):
        ofproto.push_stats()
    commit = _Commit(ofproto, now)
    ofproto.connmgr.hold()
    respite = ofproto.tables.respite
    flow_mods = FlowModLog("")
    entries = bundle.entries
    entries.reverse()
    flow_mod = ofproto.flow_mod
    while entries:
        # Each goes when it has been carried out: all at once they would take long.
        entry = entries.pop()
        if not len(entries) & A_FEW:
            respite.give()
        body = entry.body
        try:
            if isinstance(body, FlowMod):
                flow_mod(body)
                flow_mods.note(body.command, now)
            else:
                commit.apply(entry)
        except OfpError as error:
            commit.undo()
            ofproto.connmgr.release(False)
            bundle_failed.inc()
            raise BundleError(entry, error) from error
    commit.finish()
    ofproto.connmgr.release(True)
    commit.forget()
    bundle_committed.inc()
    return flow_mods


def _deletes(body: Any) -> bool:
    return isinstance(body, FlowMod) and body.command in DELETES


@final
class _Commit:
    """A commit under way: what undoes it, and what is to be done at its end."""

    def __init__(self, ofproto: Ofproto, now: int) -> None:
        self.ofproto = ofproto
        self.now = now
        self.done: list[Undo | list[Rule | RuleChange]] = []
        self.port_mods: list[tuple[PortMod, Port, int]] = []
        self.packets: list[StartedPacketOut] = []
        self._journal()

    def _journal(self) -> None:
        """Begin a list of changes to rules."""
        changes: list[Rule | RuleChange] = []
        self.done.append(changes)
        self.ofproto.tables.journal = changes

    def apply(self, entry: Entry) -> None:
        """Carry out what is no flow mod."""
        body = entry.body
        ofproto = self.ofproto
        if isinstance(body, GroupMod):
            # A group's undo puts back the flows that went with it.
            ofproto.tables.journal = None
            self.done.append(apply_group_mod(ofproto, body, self.now))
            self._journal()
        elif isinstance(body, PortMod):
            self.port_mods.append((body, check_port_mod(ofproto, body), entry.version))
        else:
            # It meets the tables as they are here, but leaves when nothing is refused any more.
            ofproto.check_references(body.actions)
            in_port = body.metadata.flow.get(_IN_PORT)
            self.packets.append(ofproto.packet_out_start(body.packet, in_port, body.actions, body.metadata))

    def undo(self) -> None:
        """Put everything back."""
        tables = self.ofproto.tables
        tables.journal = None
        for packet in self.packets:
            packet.cancel()
        for step in reversed(self.done):
            if isinstance(step, list):
                tables.undo(step)
            else:
                step()

    def finish(self) -> None:
        """What can't be undone: the bundle has not been refused."""
        ofproto = self.ofproto
        ofproto.tables.journal = None
        for mod, _, version in self.port_mods:
            port = ofproto.ofp_port(mod.port_no)
            if port is not None:
                apply_port_mod(ofproto, mod, port, version)
        for packet in self.packets:
            packet.finish()

    def forget(self) -> None:
        """Nothing is to be put back any more."""
        for step in self.done:
            if isinstance(step, list):
                self.ofproto.tables.respite.drop(step)
