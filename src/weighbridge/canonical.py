"""The one byte form: canonical JSON (RFC 8785), and the hashes taken over it.

Promise: equal JSON values have equal bytes on every machine, and ``decode(encode(x))`` is a private copy of ``x`` whose
objects are in canonical key order. What has no canonical form is refused (:class:`CanonicalError`), never approximated.

Two encoders, one result. The sorted msgspec form equals RFC 8785 byte for byte unless the value holds a float that is whole
or needs an exponent, an integer of 16 digits or more, or a character outside the basic plane (UTF-16 order differs from code
point order there); those are handed to the reference encoder, about 25 times slower.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from typing import Any

import msgspec
import rfc8785

from weighbridge.errors import CanonicalError

# Digits fold to "0" and lead bytes of 4-byte UTF-8 to 0xF0, so that two substring searches in C decide about the fast form.
_FOLD = bytes.maketrans(b"0123456789\xf1\xf2\xf3\xf4", b"0000000000\xf0\xf0\xf0\xf0")
_LONG_INTEGER = b"0" * 16
_BEFORE_NUMBER = b":[,-"
_INTEGER_MAX = 2**53 - 1

_BLOCK_BYTES = 64  # of SHA-256

_encoder = msgspec.json.Encoder(order="sorted")


class PrivateCopy(msgspec.Struct, frozen=True):
    """A value's canonical bytes, the copy decoded from them, and whether it is simple: see :func:`encode_simple`."""

    data: bytes
    value: Any
    simple: bool


class _Float(Exception):
    """Raised by the decoder at the first float that the two forms may print differently."""


def _plain_float(text: str) -> float:
    # Both forms print the shortest digits that read back; they differ where one writes an exponent or a whole number.
    if text.endswith(".0") or "e" in text or "E" in text:
        raise _Float
    return float(text)


_float_finder = msgspec.json.Decoder(float_hook=_plain_float)
_decoder = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value.

    Raises:
        CanonicalError: NaN or infinity, an integer beyond +-(2**53 - 1), a lone surrogate, a key that is not text, a type
            JSON does not have, or nesting too deep to encode.
    """
    return private_copy(value).data


def encode_and_decode(value: Any) -> tuple[bytes, Any]:
    """Return the canonical bytes of ``value`` and a private copy decoded from them.

    The copy shares nothing with ``value`` and cannot differ from what was hashed; numbers are in their canonical form
    (``1.0`` becomes ``1``).

    Raises:
        CanonicalError: as :func:`encode`.
    """
    made = private_copy(value)
    return made.data, made.value


def private_copy(value: Any) -> PrivateCopy:
    """Do as :func:`encode_and_decode` does, and say whether the value is simple.

    Raises:
        CanonicalError: as :func:`encode`.
    """
    try:
        fast = _encoder.encode(value)
        copy = _decoded_if_exact(fast)
        if copy is None:
            _require_json(value)
            fast = rfc8785.dumps(value)
            return PrivateCopy(fast, decode(fast), simple=False)
        if copy != value:  # the encoder has its own ideas of NaN, sets, dates and more; only JSON may pass
            _require_json(value)
    except RecursionError:
        raise CanonicalError("nested too deeply to encode; keep values below two hundred levels") from None
    except UnicodeEncodeError:
        raise CanonicalError("text holds a lone surrogate; send well-formed Unicode") from None
    except (rfc8785.CanonicalizationError, msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        _require_json(value)
        raise CanonicalError(f"no canonical JSON form: {error}") from None
    return PrivateCopy(fast, copy, simple=True)


def encode_simple(value: Any) -> bytes:
    """Return the RFC 8785 bytes of what is made of parts of a simple private copy, of texts, and of keys in ASCII.

    Records (msgspec Structs) stand for the objects they were read from. Nothing is checked, because :func:`private_copy` did;
    that is most of what encoding costs.
    """
    return _encoder.encode(value)


def _decoded_if_exact(fast: bytes) -> Any:
    """Return the decoded value where the sorted form is certainly the RFC 8785 form, else None (also for ``null``)."""
    folded = fast.translate(_FOLD)
    if b"\xf0" in folded or _holds_long_number(folded):
        return None
    try:
        return _float_finder.decode(fast)
    except _Float:
        return None


def _holds_long_number(folded: bytes) -> bool:
    """Return whether a number of 16 digits or more may begin somewhere.

    Somewhere may be inside a text, which costs time and no correctness; a hash in hexadecimal, one in a hundred of which has
    such a run, is not taken for a number.
    """
    at = folded.find(_LONG_INTEGER)
    while at > 0 and folded[at - 1] not in _BEFORE_NUMBER:
        at = folded.find(_LONG_INTEGER, at + len(_LONG_INTEGER))
    return at >= 0


def _require_json(value: Any, place: str = "") -> None:
    """Raise `CanonicalError`, naming the place, unless ``value`` is JSON through and through."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise CanonicalError(f"{_at(place)}the key `{key!r}` is not text; JSON objects have text keys")
            _require_well_formed(key, place)
            _require_json(item, f"{place}.{key}" if place else key)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _require_json(item, f"{place}[{index}]")
    else:
        _require_json_leaf(value, place)


def _require_json_leaf(value: Any, place: str) -> None:
    if isinstance(value, str):
        _require_well_formed(value, place)
    elif isinstance(value, int):  # true and false among them
        if abs(value) > _INTEGER_MAX:
            raise CanonicalError(f"{_at(place)}an integer beyond 2**53 - 1 is not exact in JSON; send it as text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise CanonicalError(f"{_at(place)}NaN and infinity are not JSON numbers; leave the field out or send null")
    elif value is not None:
        raise CanonicalError(
            f"{_at(place)}a `{type(value).__name__}` has no JSON form; "
            "pass text, a number, true, false, null, a list or an object"
        )


def _require_well_formed(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CanonicalError(f"{_at(place)}text holds a lone surrogate; send well-formed Unicode") from None


def _at(place: str) -> str:
    return f"`{place}`: " if place else ""


def require_shallow(copy: PrivateCopy, levels_max: int) -> None:
    """Refuse a value that is nested deeper than ``levels_max``.

    How deep an interpreter can go differs between versions; what is accepted must not (G4).

    Raises:
        CanonicalError: it is.
    """
    # There cannot be more levels than brackets, so the usual value is not walked.
    brackets = copy.data.count(b"[") + copy.data.count(b"{")
    if brackets > levels_max and _levels(copy.value, levels_max) > levels_max:
        raise CanonicalError(f"nested too deeply: more than {levels_max} levels of lists and objects")


def _levels(value: Any, enough: int) -> int:
    """Return how many levels of lists and objects ``value`` has; counting stops beyond ``enough``."""
    levels, layer = 0, [value]
    while levels <= enough:
        layer = [item for item in layer if isinstance(item, (list, dict))]
        if not layer:
            return levels
        levels += 1
        layer = [item for outer in layer for item in (outer.values() if isinstance(outer, dict) else outer)]
    return levels


def decode(data: bytes) -> Any:
    """Return the value of canonical bytes. Only for bytes that :func:`encode` made."""
    if _holds_long_number(data.translate(_FOLD)):
        return json.loads(data, parse_int=_whole_number)
    return _decoder.decode(data)


def _whole_number(text: str) -> int | float:
    # A large double is written without an exponent up to 1e21; read as an integer it could not be encoded again.
    number = int(text)
    return number if abs(number) <= _INTEGER_MAX else float(text)


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def keyed_hash(key: bytes, data: bytes) -> str:
    """Return HMAC-SHA-256 (RFC 2104) of ``data`` in lower-case hex: how content is addressed (L6)."""
    inner, outer = _keyed(key)
    begun, ended = inner.copy(), outer.copy()
    begun.update(data)
    ended.update(begun.digest())
    return ended.hexdigest()


@functools.lru_cache(maxsize=256)  # tenants at work at once; starting over from the key takes three times as long
def _keyed(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Return the two hashes of an HMAC with the key taken in (RFC 2104, section 4)."""
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    padded = key.ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)), hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
