"""`blake2b`, without the OpenSSL library that `hashlib` loads for its other digests."""

from __future__ import annotations

try:
    from _blake2 import blake2b as blake2b
except ImportError:
    from hashlib import blake2b as blake2b
