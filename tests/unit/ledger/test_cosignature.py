from __future__ import annotations

import base64
import hashlib

import pytest

from weighbridge.errors import UsageError
from weighbridge.ledger.cosignature import CosignerKey, cosign, cosigned_by, cosigner_key
from weighbridge.ledger.ed25519 import Ed25519Signer, is_signature
from weighbridge.ledger.note import NoteError, sign_note

TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
AT_S = 1_679_315_147
LOG = Ed25519Signer("example.com/behind-the-sofa", b"\1" * 32)
WITNESS = Ed25519Signer("witness.example.com/w1", b"\2" * 32)
NOTE = sign_note(TEXT, [LOG])


def test_the_bytes_are_those_of_the_specification():
    """C2SP tlog-cosignature, "Format": key id, time and signature in one line, over header, time and the whole text."""
    line = cosign(TEXT, WITNESS, AT_S)
    name, coded = line.removeprefix("— ").split()
    data = base64.b64decode(coded)
    public = WITNESS.key.public_key
    assert name == "witness.example.com/w1"
    assert data[:4] == hashlib.sha256(b"witness.example.com/w1\n\x04" + public).digest()[:4]
    assert int.from_bytes(data[4:12], "big") == AT_S
    assert is_signature(public, data[12:], f"cosignature/v1\ntime 1679315147\n{TEXT}".encode())


def test_a_cosigned_note_says_who_and_when():
    key = cosigner_key(WITNESS)
    note = NOTE + cosign(TEXT, WITNESS, AT_S)
    assert cosigned_by(note, [key], is_signature) == {key: AT_S}
    assert cosigned_by(NOTE, [key], is_signature) == {}
    assert cosigned_by(note, [cosigner_key(LOG)], is_signature) == {}  # of strangers nothing is said


def test_a_cosignature_over_another_text_or_time_is_false():
    """L3."""
    key, line = cosigner_key(WITNESS), cosign(TEXT, WITNESS, AT_S)
    other = sign_note(TEXT.replace("20852163", "20852164"), [LOG])
    with pytest.raises(NoteError, match="not over this text"):
        cosigned_by(other + line, [key], is_signature)
    name, coded = line.removeprefix("— ").split()
    for at in range(4, 76, 9):
        data = bytearray(base64.b64decode(coded))
        data[at] ^= 1
        with pytest.raises(NoteError):
            cosigned_by(f"{NOTE}— {name} {base64.b64encode(data).decode()}\n", [key], is_signature)


def test_a_key_is_copied_whole_or_not_at_all():
    key = cosigner_key(WITNESS)
    assert CosignerKey.parse(str(key)) == key
    text = str(key)
    for wrong in (text[:-4], text.replace("w1", "w2"), str(WITNESS.key), "nonsense", "a+b", f"{text} "):
        with pytest.raises(UsageError):
            CosignerKey.parse(wrong)
    with pytest.raises(UsageError):
        CosignerKey("a b", bytes(32))
