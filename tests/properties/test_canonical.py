"""Canonical bytes equal RFC 8785: the reference encoder on whatever JSON there is, and the published vectors."""

import gzip
import json
import os
import struct
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from weighbridge import canonical
from weighbridge.errors import CanonicalError

DATA = (
    Path(os.environ.get("WEIGHBRIDGE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "conf_jcs_rfc8785"
)
PUBLISHED = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the published vectors are not at {DATA} (set WEIGHBRIDGE_DATA)"
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.sampled_from([2**53 - 1, -(2**53) + 1, 10**15, 10**15 - 1])
FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(10, 25).map(lambda digits: float(10**digits))
LEAVES = st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=30
)


@given(JSON)
def test_canonical_bytes_equal_the_reference(value):
    """G4: for floats, long integers and keys beyond the basic plane too."""
    expected = rfc8785.dumps(value)
    data, copy = canonical.encode_and_decode(value)
    assert data == expected
    assert canonical.encode(copy) == expected
    assert canonical.encode(canonical.decode(data)) == expected


@given(JSON.filter(lambda value: isinstance(value, dict) and len(value) > 1), st.randoms())
def test_the_order_of_keys_changes_no_byte(value, random):
    """G4: no order of dict keys."""
    names = list(value)
    random.shuffle(names)
    assert canonical.encode({name: value[name] for name in names}) == canonical.encode(value)


@given(FLOATS)
def test_every_double_is_written_as_ecmascript_writes_it(value):
    """G4: RFC 8785, section 3.2.2.3; and it reads back as the same number."""
    data = canonical.encode(value)
    assert data == rfc8785.dumps(value)
    assert float(data) == value


@given(st.integers())
def test_every_integer_is_exact_or_refused(value):
    """Beyond 2**53 - 1 readers disagree, so there is no form."""
    if abs(value) > 2**53 - 1:
        with pytest.raises(CanonicalError):
            canonical.encode(value)
    else:
        assert canonical.encode(value) == str(value).encode()


@PUBLISHED
@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_published_documents(name):
    """G4: the documents of RFC 8785's own test data, byte for byte."""
    value = json.loads((DATA / "input" / f"{name}.json").read_bytes())
    assert canonical.encode(value) == (DATA / "output" / f"{name}.json").read_bytes()
    assert canonical.encode(value) == bytes.fromhex((DATA / "outhex" / f"{name}.txt").read_text())


@PUBLISHED
def test_published_numbers():
    """G4: ten thousand doubles from RFC 8785's own test data."""
    lines = gzip.decompress((DATA / "es6_numbers_10k.txt.gz").read_bytes()).decode().split()
    for line in lines:
        bits, _, expected = line.partition(",")
        (value,) = struct.unpack(">d", bytes.fromhex(bits.rjust(16, "0")))
        assert canonical.encode(value) == expected.encode(), line
    assert len(lines) >= 10_000
