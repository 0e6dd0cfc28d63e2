"""Requests about bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.ofproto.bundle import Bundle
from vswitch.ofproto.bundles import BundleError, commit, read_entry
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import bundle as b

if TYPE_CHECKING:
    from vswitch.ofproto.ofconn import Handler, OfConn, Replies
    from vswitch.openflow.wire.codec import Message


def _bundle(ofconn: OfConn, bundle_id: int, flags: int | None) -> Bundle:
    """The open bundle of that number; one that is asked for with other flags is discarded."""
    bundle = ofconn.bundles.get(bundle_id)
    if bundle is None:
        raise OfpError("OFPBFC_BAD_ID", f"bundle {bundle_id}")
    if flags is not None and flags != bundle.flags:
        del ofconn.bundles[bundle_id]
        raise OfpError("OFPBFC_BAD_FLAGS", f"bundle {bundle_id} of flags {bundle.flags:#x}")
    return bundle


def _open(ofconn: OfConn, request: b.BundleControl, now: int) -> None:
    if ofconn.bundles.pop(request.bundle_id, None) is not None:
        raise OfpError("OFPBFC_BAD_ID", f"bundle {request.bundle_id} is open already")
    ofconn.bundles[request.bundle_id] = Bundle(request.bundle_id, request.flags, ofconn.request, now)


def _close(ofconn: OfConn, request: b.BundleControl, now: int) -> None:
    bundle = _bundle(ofconn, request.bundle_id, None)
    if bundle.closed:
        del ofconn.bundles[request.bundle_id]
        raise OfpError("OFPBFC_BUNDLE_CLOSED", f"bundle {request.bundle_id}")
    _bundle(ofconn, request.bundle_id, request.flags)
    bundle.closed = True
    bundle.used = now


def _commit(ofconn: OfConn, request: b.BundleControl, now: int) -> None:
    bundle = _bundle(ofconn, request.bundle_id, request.flags)
    del ofconn.bundles[request.bundle_id]
    try:
        done = commit(ofconn.ofproto, bundle, now)
    except BundleError as failed:
        data = failed.entry.data
        ofconn.send_error(failed.error, int.from_bytes(data[4:8], "big"), data)
        raise OfpError("OFPBFC_MSG_FAILED", f"bundle {request.bundle_id}") from failed
    ofconn.flow_mods.take(done, now)
    ofconn.ofproto.catch_up()


def _discard(ofconn: OfConn, request: b.BundleControl, now: int) -> None:
    _bundle(ofconn, request.bundle_id, None)
    del ofconn.bundles[request.bundle_id]


CONTROLS: Final = {
    b.OFPBCT_OPEN_REQUEST: _open,
    b.OFPBCT_CLOSE_REQUEST: _close,
    b.OFPBCT_COMMIT_REQUEST: _commit,
    b.OFPBCT_DISCARD_REQUEST: _discard,
}


def control(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Open, close, commit or discard a bundle."""
    request: b.BundleControl = message.body
    action = CONTROLS.get(request.type)
    if action is None:
        raise OfpError("OFPBFC_BAD_TYPE", f"bundle control {request.type}")
    action(ofconn, request, now)
    return (b.BundleControl(request.bundle_id, request.type + 1),)


def add(ofconn: OfConn, message: Message, now: int) -> Replies:
    """Put a message into a bundle, which is opened if it is not yet."""
    request: b.BundleAdd = message.body
    entry = read_entry(ofconn.ofproto, request.message, ofconn.request, ofconn.flow_mod_table_id)
    bundle = ofconn.bundles.get(request.bundle_id)
    if bundle is None:
        bundle = Bundle(request.bundle_id, request.flags, ofconn.request, now)
        ofconn.bundles[request.bundle_id] = bundle
    elif bundle.closed:
        del ofconn.bundles[request.bundle_id]
        raise OfpError("OFPBFC_BUNDLE_CLOSED", f"bundle {request.bundle_id}")
    elif bundle.flags != request.flags:
        del ofconn.bundles[request.bundle_id]
        raise OfpError("OFPBFC_BAD_FLAGS", f"bundle {request.bundle_id}")
    bundle.add(entry)
    bundle.used = now
    return ()


HANDLERS: Final[dict[type, Handler]] = {
    b.BundleControl: control,
    b.BundleAdd: add,
}
SECONDARY_REFUSED: Final[tuple[type, ...]] = (b.BundleControl, b.BundleAdd)
