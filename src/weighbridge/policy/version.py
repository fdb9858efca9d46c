"""What a policy is called in the ledger: the hash of its effective form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge import canonical


def policy_version(document: Mapping[str, Any]) -> str:
    """Return the SHA-256, in lower-case hex, of the RFC 8785 bytes of an effective document.

    Raises:
        CanonicalError: the document holds what JSON cannot say.
    """
    return canonical.sha256_hex(canonical.encode(document))
