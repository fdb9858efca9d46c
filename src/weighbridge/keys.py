"""The keys that seal: a folder with private halves that nobody else may read, and one file of public ones for everybody.

::

    <folder>/public-keys.txt      one verifier key a line, the newest last; what a stranger is given
    <folder>/<key id>.key         PRIVATE+KEY+<name>+<id>+<base64(0x01 || seed)>, mode 0600

Rotating makes a new key under the same name. The key before goes on signing beside it until the next rotation, so that
whoever lists either can read what is sealed; the ones before lose their private half. A public key is never taken out of the
file: what it signed goes on being verified.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from weighbridge.errors import NotFound, UsageError, WeighbridgeError
from weighbridge.ledger.note import ED25519, Signer, VerifierKey

PUBLIC = "public-keys.txt"
SEED_BYTES = 32
_PRIVATE = "PRIVATE+KEY+"
_ONLY_OWNER, _FOLDER_MODE, _PUBLIC_MODE = 0o600, 0o700, 0o644
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def create(folder: Path, name: str, entropy: Callable[[int], bytes]) -> VerifierKey:
    """Make a folder with a first key, and return its public half.

    Raises:
        UsageError: keys are there already (they are never overwritten), or the name cannot be a key's.
    """
    if (folder / PUBLIC).exists() or any(folder.glob("*.key")):
        raise UsageError(f"`{folder}` holds keys already; they are not overwritten: `keys rotate` makes a new one")
    VerifierKey(name, bytes(32))  # refuses a bad name before anything is made
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return _add(folder, name, entropy, ())


def rotate(folder: Path, entropy: Callable[[int], bytes], *, at_once: bool = False) -> VerifierKey:
    """Make the key that signs from now on, and return its public half.

    The key before signs beside it until the next rotation; ``at_once`` ends that now, for a private key that may be known.

    Raises:
        NotFound: there are no keys to rotate.
    """
    before = public_keys(folder)
    made = _add(folder, before[-1].name, entropy, before)
    for old in before if at_once else before[:-1]:
        (folder / f"{old.id.hex()}.key").unlink(missing_ok=True)
    return made


def public_keys(place: Path) -> tuple[VerifierKey, ...]:
    """Return the public keys in a file, or in a folder of keys, in the order of the file: the newest last.

    Lines that are blank or begin with ``#`` are passed over.

    Raises:
        NotFound: there is no such file, or no key in it.
        UsageError: a line is no key.
    """
    file = place / PUBLIC if place.is_dir() else place
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise NotFound(f"no public keys at `{file}`; `weighbridge keys create` makes some") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the public keys `{file}` cannot be read ({error})") from None
    lines = (line.strip() for line in text.splitlines())
    keys = tuple(VerifierKey.parse(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise NotFound(f"`{file}` holds no public key")
    return keys


def signers(folder: Path) -> tuple[Signer, ...]:
    """Return the keys that sign: those whose private half is there, the newest first.

    Raises:
        NotFound: there are none.
        UsageError: a private key is damaged, or others may read it.
    """
    keys = public_keys(folder)
    files = [(key, folder / f"{key.id.hex()}.key") for key in reversed(keys)]
    found = tuple(_signer(key, file) for key, file in files if file.exists())
    if not found or found[0].key != keys[-1]:
        raise NotFound(f"the private half of the newest key, {keys[-1].id.hex()}, is not in `{folder}`")
    return found


def _add(folder: Path, name: str, entropy: Callable[[int], bytes], before: Sequence[VerifierKey]) -> VerifierKey:
    from weighbridge.ledger.ed25519 import Ed25519Signer  # noqa: PLC0415 - the extra `proofs`

    seed = entropy(SEED_BYTES)
    key = Ed25519Signer(name, seed).key
    secret = f"{_PRIVATE}{name}+{key.id.hex()}+{base64.b64encode(ED25519 + seed).decode()}\n"
    public = "".join(f"{each}\n" for each in (*before, key))
    partial = folder / f".{PUBLIC}.partial"
    try:
        _write(
            folder / f"{key.id.hex()}.key", secret, _ONLY_OWNER
        )  # first: a public key nobody can sign with helps nobody
        partial.unlink(missing_ok=True)
        _write(partial, public, _PUBLIC_MODE)
        partial.replace(folder / PUBLIC)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return key


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file that is not there yet, durably, and readable to nobody else from its first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _signer(key: VerifierKey, file: Path) -> Signer:
    from weighbridge.ledger.ed25519 import Ed25519Signer  # noqa: PLC0415 - the extra `proofs`

    try:
        if os.name == "posix" and file.stat().st_mode & _OTHERS:
            raise UsageError(f"others may read the private key `{file}`; take that from them (chmod 600), or rotate it")
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the private key `{file}` cannot be read ({error})") from None
    try:
        secret = base64.b64decode(text.removeprefix(f"{_PRIVATE}{key.name}+{key.id.hex()}+"), validate=True)
        signer = Ed25519Signer(key.name, secret.removeprefix(ED25519))
    except ValueError:
        signer = None
    except UsageError:
        signer = None
    if signer is None or signer.key != key:
        raise UsageError(f"`{file}` is not the private half of {key.id.hex()}; it was changed or belongs elsewhere")
    return signer


def _unwritable(folder: Path, error: OSError) -> WeighbridgeError:
    return WeighbridgeError(f"keys cannot be written to `{folder}` ({error.strerror})")
