from __future__ import annotations

import stat

import pytest

from tests.sealing import NAME, counted
from weighbridge import keys
from weighbridge.errors import NotFound, UsageError, WeighbridgeError
from weighbridge.ledger.ed25519 import is_signature
from weighbridge.ledger.note import open_note, sign_note


@pytest.fixture
def entropy():
    return counted()


def test_a_key_is_made_for_its_owner_alone(tmp_path, entropy):
    key = keys.create(tmp_path / "k", NAME, entropy)
    private = tmp_path / "k" / f"{key.id.hex()}.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o700
    assert keys.public_keys(tmp_path / "k") == (key,)
    assert keys.public_keys(tmp_path / "k" / keys.PUBLIC) == (key,)
    assert "PRIVATE" not in (tmp_path / "k" / keys.PUBLIC).read_text()


def test_keys_are_never_overwritten(tmp_path, entropy):
    keys.create(tmp_path, NAME, entropy)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="not overwritten"):
        keys.create(tmp_path, NAME, entropy)
    (tmp_path / keys.PUBLIC).unlink()
    with pytest.raises(UsageError, match="not overwritten"):
        keys.create(tmp_path, NAME, entropy)
    assert {path.name for path in tmp_path.iterdir()} == set(before) - {keys.PUBLIC}


@pytest.mark.parametrize("name", ["", "two words", "a+b"])
def test_a_bad_name_makes_nothing(tmp_path, entropy, name):
    with pytest.raises(UsageError):
        keys.create(tmp_path / "k", name, entropy)
    assert not (tmp_path / "k").exists()


def test_a_rotated_key_signs_once_more_and_verifies_for_ever(tmp_path, entropy):
    """L3: whoever lists the old key or the new one reads a seal of the transition; what the oldest signed goes on verifying."""
    first = keys.create(tmp_path, NAME, entropy)
    by_first = sign_note("first\n", keys.signers(tmp_path))
    second = keys.rotate(tmp_path, entropy)
    by_both = sign_note("both\n", keys.signers(tmp_path))
    for listed in (first, second):
        assert open_note(by_both, [listed], is_signature).text == "both\n"
    third = keys.rotate(tmp_path, entropy)
    assert [signer.key for signer in keys.signers(tmp_path)] == [third, second]
    assert keys.public_keys(tmp_path) == (first, second, third)
    assert open_note(by_first, keys.public_keys(tmp_path), is_signature).signed_by == (first,)
    assert not (tmp_path / f"{first.id.hex()}.key").exists()


def test_a_leaked_key_stops_signing_at_once(tmp_path, entropy):
    old = keys.create(tmp_path, NAME, entropy)
    new = keys.rotate(tmp_path, entropy, at_once=True)
    assert [signer.key for signer in keys.signers(tmp_path)] == [new]
    assert keys.public_keys(tmp_path) == (old, new)


def test_a_private_key_that_others_can_read_is_not_used(tmp_path, entropy):
    key = keys.create(tmp_path, NAME, entropy)
    (tmp_path / f"{key.id.hex()}.key").chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        keys.signers(tmp_path)


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+x\n", "PRIVATE+KEY+ledger.example/log+00000000+AQ==\n"])
def test_a_damaged_private_key_is_told_from_another(tmp_path, entropy, text):
    key = keys.create(tmp_path, NAME, entropy)
    file = tmp_path / f"{key.id.hex()}.key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(UsageError, match="is not the private half"):
        keys.signers(tmp_path)


def test_the_private_half_of_another_key_is_refused(tmp_path, entropy):
    one, other = keys.create(tmp_path / "a", NAME, entropy), keys.create(tmp_path / "b", NAME, entropy)
    source, target = tmp_path / "b" / f"{other.id.hex()}.key", tmp_path / "a" / f"{one.id.hex()}.key"
    target.write_bytes(source.read_bytes())
    with pytest.raises(UsageError, match="is not the private half"):
        keys.signers(tmp_path / "a")


def test_what_is_not_there_is_said(tmp_path, entropy):
    with pytest.raises(NotFound, match="keys create"):
        keys.public_keys(tmp_path)
    (tmp_path / keys.PUBLIC).write_text("# nothing\n\n")
    with pytest.raises(NotFound, match="no public key"):
        keys.public_keys(tmp_path)
    key = keys.create(tmp_path / "k", NAME, entropy)
    (tmp_path / "k" / f"{key.id.hex()}.key").unlink()
    with pytest.raises(NotFound, match="private half of the newest"):
        keys.signers(tmp_path / "k")


def test_comments_and_blank_lines_are_passed_over_and_nonsense_is_not(tmp_path, entropy):
    key = keys.create(tmp_path, NAME, entropy)
    (tmp_path / "given.txt").write_text(f"# from the operator\n\n{key}\n")
    assert keys.public_keys(tmp_path / "given.txt") == (key,)
    (tmp_path / "given.txt").write_text("hello\n")
    with pytest.raises(UsageError, match="not an Ed25519 verifier key"):
        keys.public_keys(tmp_path / "given.txt")


def test_a_folder_that_cannot_be_written_is_said(tmp_path, entropy):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeighbridgeError):
        keys.create(tmp_path / "file" / "k", NAME, entropy)
