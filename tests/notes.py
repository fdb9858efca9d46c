"""Signers for tests of notes and checkpoints: anybody can forge them, and they need no library."""

from __future__ import annotations

import hashlib

from weighbridge.ledger.note import VerifierKey


class Signer:
    """Signs with a hash of its public key and the message."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.key = VerifierKey(name, hashlib.sha256(seed).digest())

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self.key.public_key + message).digest()


def is_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    return signature == hashlib.sha512(public_key + message).digest()


KEY = Signer("ledger.example/log", b"new")
OLD_KEY = Signer("ledger.example/log", b"old")
