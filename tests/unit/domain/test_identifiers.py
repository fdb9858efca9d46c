import uuid

from weighbridge.domain.identifiers import ID_LENGTH_MAX, RANDOM_BYTES, mint, shortened


def test_ids_are_uuids_of_version_7():
    """RFC 9562: 48 bits of milliseconds, version and variant, then what is random."""
    identity = uuid.UUID(mint(0x0123456789AB, b"\xff" * RANDOM_BYTES))
    assert (identity.version, identity.variant) == (7, uuid.RFC_4122)
    assert identity.int >> 80 == 0x0123456789AB
    assert str(identity) == "01234567-89ab-7fff-bfff-ffffffffffff"
    assert uuid.UUID(mint(0, bytes(RANDOM_BYTES))).int == 0x7 << 76 | 0x2 << 62


def test_ids_sort_by_time():
    minted = [
        mint(instant_ms, bytes([255 - n] * RANDOM_BYTES)) for n, instant_ms in enumerate((1, 2, 1 << 20, 1 << 47))
    ]
    assert minted == sorted(minted)


def test_an_id_is_what_it_was_made_from():
    """G4: time and random bytes are handed in."""
    assert mint(1, b"0123456789") == mint(1, b"0123456789")
    assert mint(1, b"0123456789") != mint(1, b"0123456780")


def test_a_name_that_becomes_an_id_is_cut_to_its_length():
    assert len(shortened("x" * 1_000)) == ID_LENGTH_MAX
    assert shortened("short") == "short"
