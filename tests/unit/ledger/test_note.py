"""Signed notes: what is signed is what is read, by listed keys only, old ones included."""

import base64
import hashlib

import pytest

from tests.notes import KEY, OLD_KEY, Signer, is_signature
from weighbridge.errors import UsageError
from weighbridge.ledger.note import NOTE_BYTES_MAX, NoteError, VerifierKey, open_note, sign_note

TEXT = "ledger.example/log\n7\nsome text\n"
NOTE = sign_note(TEXT, [KEY])
GO = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"  # golang.org/x/mod/sumdb/note, its example


def test_a_note_is_laid_out_as_published():
    """signed-note, "Format" and "Ed25519 signatures"."""
    public = KEY.key.public_key
    key_id = hashlib.sha256(b"ledger.example/log\n\x01" + public).digest()[:4]
    coded = base64.b64encode(key_id + KEY.sign(TEXT.encode())).decode()
    assert f"{TEXT}\n— ledger.example/log {coded}\n" == NOTE


def test_a_note_gives_back_its_text_and_who_signed_it():
    opened = open_note(NOTE, [OLD_KEY.key, KEY.key], is_signature)
    assert (opened.text, opened.signed_by) == (TEXT, (KEY.key,))


def test_an_empty_line_in_the_text_is_text():
    text = "one\n\ntwo\n"
    assert open_note(sign_note(text, [KEY]), [KEY.key], is_signature).text == text


def test_a_retired_key_goes_on_verifying_and_a_new_one_can_sign_beside_it():
    """Rotation: old keys keep verifying for as long as they are listed."""
    both = sign_note(TEXT, [OLD_KEY, KEY])
    for listed in ([OLD_KEY.key], [KEY.key]):
        assert open_note(both, listed, is_signature).signed_by == tuple(listed)
    assert open_note(both, [KEY.key, OLD_KEY.key], is_signature).signed_by == (OLD_KEY.key, KEY.key)
    with pytest.raises(NoteError, match="no listed key"):
        open_note(sign_note(TEXT, [OLD_KEY]), [KEY.key], is_signature)


def test_signatures_of_unknown_keys_are_ignored_even_under_a_known_name():
    """signed-note, "Signatures": anybody may add a line; it neither helps nor harms."""
    stranger = Signer(KEY.key.name, b"stranger")
    note = sign_note(TEXT, [stranger, KEY, Signer("witness.example", b"w")])
    assert open_note(note, [KEY.key], is_signature).signed_by == (KEY.key,)
    with pytest.raises(NoteError, match="no listed key"):
        open_note(sign_note(TEXT, [stranger]), [KEY.key], is_signature)


def test_a_false_line_of_a_listed_key_refuses_the_note_whatever_else_signed_it():
    forged = sign_note("other\n", [OLD_KEY]).split("\n")[-2]
    with pytest.raises(NoteError, match="was changed"):
        open_note(f"{NOTE}{forged}\n", [OLD_KEY.key, KEY.key], is_signature)


def test_every_changed_character_is_found():
    """L3: of the text, the layout, the name, the id and the signature."""
    for place in range(len(NOTE)):
        changed = f"{NOTE[:place]}{'A' if NOTE[place] != 'A' else 'B'}{NOTE[place + 1 :]}"
        with pytest.raises(NoteError):
            open_note(changed, [KEY.key], is_signature)


@pytest.mark.parametrize("cut", range(len(NOTE)))
def test_a_cut_note_is_none(cut):
    with pytest.raises(NoteError):
        open_note(NOTE[:cut], [KEY.key], is_signature)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE.replace("— ", "- "),
        NOTE.replace("\n— ", "\n— \n— "),
        NOTE.replace("text", "te\txt"),
        NOTE.replace("text", "te\rxt"),
        NOTE.replace("text", "te\ud800xt"),
        NOTE + "\n",
        NOTE + "trailing\n",
        NOTE + "— name AAAAAA==\n",
        NOTE + "— name not base64\n",
        NOTE + "— na+me AAAAAAA=\n",
        NOTE + "— name AAAAAAB=\n",
        NOTE + NOTE.split("\n")[-2] * 101,
        NOTE + (NOTE.split("\n")[-2] + "\n") * 100,
        "x" * NOTE_BYTES_MAX + NOTE,
    ],
)
def test_what_is_no_note_is_refused(note):
    with pytest.raises(NoteError):
        open_note(note, [KEY.key], is_signature)


@pytest.mark.parametrize("text", ["te\txt\n", "te\rxt\n", "te\x00xt\n", "x" * NOTE_BYTES_MAX + "\n"])
def test_a_text_that_must_not_be_is_refused_even_if_signed(text):
    """signed-note, "Format": no control characters, and a limit of the verifier's own."""
    coded = base64.b64encode(KEY.key.id + KEY.sign(text.encode())).decode()
    with pytest.raises(NoteError):
        open_note(f"{text}\n— {KEY.key.name} {coded}\n", [KEY.key], is_signature)


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\x00b\n", "\ud800\n"])
def test_what_cannot_be_a_text_is_not_signed(text):
    with pytest.raises(UsageError):
        sign_note(text, [KEY])
    with pytest.raises(UsageError, match="at least one"):
        sign_note(TEXT, [])


def test_a_verifier_key_reads_back():
    assert VerifierKey.parse(str(KEY.key)) == KEY.key
    assert str(VerifierKey.parse(GO)) == GO


@pytest.mark.parametrize("place", range(len(GO)))
def test_a_verifier_key_that_was_changed_or_cut_is_refused(place):
    for changed in (GO[:place], f"{GO[:place]}{chr(ord(GO[place]) + 1)}{GO[place + 1 :]}"):
        with pytest.raises(UsageError):
            VerifierKey.parse(changed)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "\ud800"])
def test_a_name_that_cannot_stand_on_a_line_is_refused(name):
    with pytest.raises(UsageError):
        VerifierKey(name, bytes(32))
    with pytest.raises(UsageError):
        VerifierKey("name", bytes(31))
