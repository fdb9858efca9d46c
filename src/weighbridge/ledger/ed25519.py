"""Ed25519 (RFC 8032) for signed notes: the one file that imports `cryptography` (the extra `proofs`). Pure.

A private key is 32 bytes from a source of randomness, handed in: nothing here makes one up. Signing is deterministic, so the
same text under the same key gives the same note on every machine.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from weighbridge.errors import UsageError
from weighbridge.ledger.note import VerifierKey

SEED_BYTES = 32


class Ed25519Signer:
    """Signs under ``name`` with the private key that ``seed`` is (RFC 8032, section 5.1.5).

    Raises:
        UsageError: on construction, where the seed has not 32 bytes or the name cannot be a key's.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise UsageError(f"an Ed25519 private key has {SEED_BYTES} bytes, not {len(seed)}")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._key = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"<Ed25519Signer {self._key}>"  # never the seed

    @property
    def key(self) -> VerifierKey:
        """Return the public half."""
        return self._key

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message`` (RFC 8032, section 5.1.6)."""
        return self._private.sign(message)


def is_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether ``signature`` is the key's over ``message`` (RFC 8032, section 5.1.7); false for bytes that are no key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
