"""Keys and passwords made for node users, and kept where their destination says; imports no Airflow."""

from __future__ import annotations

import os
import secrets
import stat
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_batchlinux.core.secrets import hide_in_error
from airflow_provider_batchlinux.core.users.key_pairs import KeyPair
from airflow_provider_batchlinux.core.users.passwords import made_password
from airflow_provider_batchlinux.core.users.secret_destination import (
    SSH_PRIVATE_KEY,
    KeyDestination,
    SecretRequest,
)

__all__ = ["key_pair_at", "new_key_pair", "password_at", "secret_parts"]

Mask = Callable[[str], None]

_SHORTEST_PART = 16
_MODE = 0o600


def key_pair_at(destination: KeyDestination, request: SecretRequest, mask: Mask) -> tuple[KeyPair, bool]:
    """
    Take a key pair from its destination; where there is none, make one and keep its private half there.

    :param mask: is told each secret before anything else is.
    :return: the pair, and whether it is new.
    :raises ValueError: what is there cannot be used, or was made by something else.
    """
    if (found := _kept(destination, request, mask)) is not None:
        return _checked(KeyPair.parse(found)), False
    pair = new_key_pair(request.comment)
    text = pair.private_text(secrets.randbits(32))
    _keep(destination, request, text, mask)
    return pair, True


def password_at(
    destination: KeyDestination, request: SecretRequest, mask: Mask, *, must_exist: bool = False
) -> tuple[str, bool]:
    """
    Take a password from its destination; where there is none, make one and keep it there.

    :param mask: is told each secret before anything else is.
    :param must_exist: make none: some nodes have the one that was there.
    :return: the password, and whether it is new.
    :raises ValueError: what is there cannot be used, or was made by something else.
    """
    if (found := _kept(destination, request, mask)) is not None:
        return found, False
    if must_exist:
        msg = (
            f"{destination!r} holds the password no more that some nodes have for user {request.username!r}. "
            "A task that was deferred may go on at another worker: take a place that all workers reach, or "
            "deferrable=False."
        )
        raise ValueError(msg)
    password = made_password(secrets.choice)
    _keep(destination, request, password, mask)
    return password, True


def secret_parts(secret: str) -> list[str]:
    """List what must not be told of a secret: all of it, and each line, as logs are made of lines."""
    lines = [line for line in secret.splitlines() if len(line) >= _SHORTEST_PART and not line.startswith("-")]
    return [secret, secret.strip(), *lines]


def _kept(destination: KeyDestination, request: SecretRequest, mask: Mask) -> str | None:
    if destination.file is not None:
        found = _read(Path(destination.file), request, overwrite=destination.overwrite)
    else:
        found = destination.load(request) if destination.load else None
    if not found:
        return None
    _mask(found, mask)
    return found if request.kind == SSH_PRIVATE_KEY else found.rstrip("\r\n")


def _keep(destination: KeyDestination, request: SecretRequest, secret: str, mask: Mask) -> None:
    _mask(secret, mask)
    if destination.file is not None:
        _write(Path(destination.file), _file_text(request, secret))
    elif destination.save is not None:
        with _untold(secret):
            destination.save(request, secret)


def _mask(secret: str, mask: Mask) -> None:
    for part in secret_parts(secret):
        mask(part)


@contextmanager
def _untold(secret: str) -> Iterator[None]:
    """Let no error tell a secret: its text goes without, or another error comes in its place."""
    parts = secret_parts(secret)
    try:
        yield
    # A callback of somebody else's may raise anything, and put into it what it was given.
    except Exception as error:
        hide_in_error(error, parts)
        told = "\n".join([*traceback.format_exception(error), repr(error)])
        if not any(part in told for part in parts):
            raise
        msg = f"save raised {type(error).__name__}, whose text holds the secret and is not repeated for that."
        raise RuntimeError(msg) from None


def _file_text(request: SecretRequest, secret: str) -> str:
    # The private key has its comment inside. Programs that take a password from a file read its first line.
    return secret if request.kind == SSH_PRIVATE_KEY else f"{secret}\n# {request.comment}\n"


def _read(path: Path, request: SecretRequest, *, overwrite: bool) -> str | None:
    """Read what an earlier try left; ``None`` when there is nothing, or nothing that is to be kept."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        msg = f"{str(path)!r} is no plain file. Give the path of one that is not there yet."
        raise ValueError(msg)
    problem = _problem_of(path, status, request)
    if problem and not overwrite:
        raise ValueError(problem)
    if problem or status.st_size == 0:
        path.unlink()
        return None
    return _own_secret(path.read_text(), request)


def _problem_of(path: Path, status: os.stat_result, request: SecretRequest) -> str | None:
    if status.st_size == 0:  # A try that was killed before it wrote.
        return None
    if _own_secret(path.read_bytes().decode(errors="replace"), request) is None:
        return (
            f"{str(path)!r} holds something that this task instance did not make. Remove it, choose another "
            "path (such as one with the run's id), or give KeyDestination(..., overwrite=True)."
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        return f"{str(path)!r} has mode {mode}: others may know it. Remove it; a new secret is made then."
    return None


def _own_secret(text: str, request: SecretRequest) -> str | None:
    """Take the secret out of a file of this task instance; ``None`` when it is none."""
    if request.kind != SSH_PRIVATE_KEY:
        secret, _, rest = text.partition("\n")
        return secret if secret and rest == f"# {request.comment}\n" else None
    try:
        return text if KeyPair.parse(text).comment == request.comment else None
    except ValueError:
        return None


def _write(path: Path, text: str) -> None:
    # O_EXCL takes no link for the file either, nor the file that another task makes at the same moment.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, _MODE)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def new_key_pair(comment: str) -> KeyPair:
    """Make an Ed25519 pair in memory."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    return KeyPair(private.private_bytes_raw(), private.public_key().public_bytes_raw(), comment)


def _checked(pair: KeyPair) -> KeyPair:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if Ed25519PrivateKey.from_private_bytes(pair.seed).public_key().public_bytes_raw() != pair.public:
        msg = f"The private key that was kept does not belong to its public half, {pair.fingerprint}."
        raise ValueError(msg)
    return pair
