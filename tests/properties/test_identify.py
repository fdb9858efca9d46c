"""What a request is known by does not depend on how fast its bytes were made."""

from hypothesis import given
from hypothesis import strategies as st

from tests import samples
from weighbridge import canonical
from weighbridge.domain.context import parse_context
from weighbridge.gateway import identify

KEY = b"k" * 32

# Keys beyond the basic plane, whole floats, exponents and long integers are what the fast form writes differently.
KEYS = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(["\ufb33", "\U0001f600", "é", "10", "9"])
NUMBERS = (
    st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2.0**53), 2.0**53, allow_nan=False)
    | st.sampled_from([1.0, 1e-7, 0.1, 1e15, 2**53 - 1])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)


def _plan(arguments):
    steps = [
        {"operation": "crm.update", "arguments": arguments, "step_id": "s-1"},
        {"operation": "crm.note", "step_id": "s-2", "depends_on": ["s-1"]},
    ]
    return {"choke_point": "BEFORE_PLAN_APPROVAL", "plan": {"plan_id": "p-1", "steps": steps}}


@given(OBJECTS, JSON, JSON, st.booleans())
def test_a_simple_request_is_known_by_the_same_bytes(arguments, content, state, planned):
    """G3: hashes of a request encoded the short way are those of RFC 8785."""
    changes = _plan(arguments) if planned else {}
    document = samples.context(**changes)
    document["proposal"]["arguments"] = arguments
    document["evidence"][0]["content"] = content
    document["snapshot"]["fields"]["renewal"]["value"] = state
    copy = canonical.private_copy(document)
    context = parse_context(copy.value)
    careful = identify(context, KEY)
    if copy.simple:
        assert identify(context, KEY, simple=True) == careful


@given(JSON)
def test_what_is_called_simple_needs_no_second_look(value):
    """G4: `encode_simple` gives the canonical bytes of every simple copy and of its parts."""
    copy = canonical.private_copy(value)
    if copy.simple:
        assert canonical.encode_simple(copy.value) == copy.data == canonical.encode(value)
        for part in copy.value.values() if isinstance(copy.value, dict) else ():
            assert canonical.encode_simple({"part": part}) == canonical.encode({"part": part})
