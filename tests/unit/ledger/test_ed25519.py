"""Ed25519: the vectors of RFC 8032, and a note that another implementation published."""

import base64

import pytest

from weighbridge.errors import UsageError
from weighbridge.ledger.note import NoteError, VerifierKey, open_note, sign_note

ed25519 = pytest.importorskip(
    "weighbridge.ledger.ed25519",
    reason="`cryptography` is not installed (the extra `proofs`); no signature is checked",
    exc_type=ImportError,
)

# RFC 8032, section 7.1: private key, public key, message, signature of TEST 1 to 3.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]

# golang.org/x/mod/sumdb/note: the private key, public key and note of its own example.
GO_KEY = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


@pytest.mark.parametrize(("seed", "public_key", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_rfc(seed, public_key, message, signature):
    signer = ed25519.Ed25519Signer("name", bytes.fromhex(seed))
    assert signer.key.public_key.hex() == public_key
    assert signer.sign(bytes.fromhex(message)).hex() == signature
    assert ed25519.is_signature(*map(bytes.fromhex, (public_key, signature, message)))
    assert not ed25519.is_signature(*map(bytes.fromhex, (public_key, signature, message + "00")))


def test_a_note_published_by_another_implementation_verifies_and_is_made_byte_for_byte():
    assert open_note(GO_NOTE, [GO_KEY], ed25519.is_signature).text == GO_TEXT
    assert sign_note(GO_TEXT, [ed25519.Ed25519Signer("PeterNeumann", GO_SEED)]) == GO_NOTE
    with pytest.raises(NoteError):
        open_note(GO_NOTE.replace("answer", "Answer"), [GO_KEY], ed25519.is_signature)


@pytest.mark.parametrize(("public_key", "signature"), [(b"", bytes(64)), (b"\xff" * 32, bytes(64)), (bytes(32), b"")])
def test_bytes_that_are_no_key_or_no_signature_verify_nothing(public_key, signature):
    assert not ed25519.is_signature(public_key, signature, b"message")


def test_a_private_key_is_never_shown():
    signer = ed25519.Ed25519Signer("name", bytes(range(32)))
    assert bytes(range(32)).hex() not in repr(signer)
    assert str(signer.key) in repr(signer)
    with pytest.raises(UsageError):
        ed25519.Ed25519Signer("name", b"short")
