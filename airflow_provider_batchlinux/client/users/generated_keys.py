"""Generate SSH key pairs for node users, and keep the private half in a file that later tries find again."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from airflow_provider_batchlinux.core.users.credentials import KeyDestination, fingerprint

# Shorter lines, such as the padding at the end, would mask ordinary text of the log.
_SHORTEST_PART = 16
_MODE = 0o600


@dataclass(frozen=True)
class KeyPair:
    """
    An Ed25519 key pair in OpenSSH's form. Its representation shows only the public half.

    :param private_text: the private half without a passphrase, as a file for ``ssh -i`` has it.
    :param public_line: the public half in one line, as ``authorized_keys`` has it, without a comment.
    """

    private_text: str = field(repr=False)
    public_line: str

    @property
    def fingerprint(self) -> str:
        """The public half's fingerprint, such as ``SHA256:...``."""
        return fingerprint(self.public_line)

    @classmethod
    def generate(cls) -> KeyPair:
        """Generate a pair in memory."""
        private = Ed25519PrivateKey.generate()
        text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        return cls(text, _public_line(private))

    @classmethod
    def parse(cls, text: str) -> KeyPair:
        """
        Read a pair from the text of its private half.

        :raises ValueError: the text is not an Ed25519 key without a passphrase. It is not repeated.
        """
        try:
            private = load_ssh_private_key(text.strip().encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            msg = "The private key is not an Ed25519 key in OpenSSH's form without a passphrase."
            raise ValueError(msg)  # noqa: TRY004  # the text is wrong, whatever type cryptography makes of it
        return cls(text, _public_line(private))


def key_pair_at(destination: KeyDestination, owner: str, mask: Callable[[str], None]) -> tuple[KeyPair, bool]:
    """
    Return the key pair in a file. If the file has no pair, generate one and write its private half.

    :param owner: the task instance in one line, the same for each of its tries. It is written behind the key,
        where OpenSSH does not read: the format has no place for it that ``cryptography`` can write.
    :param mask: called with each secret text before it is written, and after it is read.
    :return: the pair, and whether it is new.
    :raises ValueError: the file is not a regular file, others can read it, or something else wrote it.
    """
    path = Path(destination.file)
    found = _read(path, owner, overwrite=destination.overwrite)
    pair = found or KeyPair.generate()
    for part in secret_parts(pair.private_text):
        mask(part)
    if found is None:
        _write(path, f"{pair.private_text}# {owner}\n")
    return pair, found is None


def secret_parts(secret: str) -> list[str]:
    """List the texts of a secret that must be masked: all of it, and each line, because logs have lines."""
    lines = [line for line in secret.splitlines() if len(line) >= _SHORTEST_PART and not line.startswith("-")]
    return [secret, secret.strip(), *lines]


def _read(path: Path, owner: str, *, overwrite: bool) -> KeyPair | None:
    """Return the key that an earlier try wrote; ``None`` for a missing key, or one to replace."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        msg = f"{str(path)!r} is not a regular file. Give a path that does not exist yet."
        raise ValueError(msg)
    pair, problem = None, None
    text = path.read_bytes().decode(errors="replace")
    secret, separator, rest = text.partition("# ")
    if separator and rest == f"{owner}\n":
        try:
            pair = KeyPair.parse(secret)
        except ValueError:
            pair = None
    # An empty file is what a try leaves that is killed before it writes.
    if pair is None and text:
        problem = (
            f"{str(path)!r} was not written by this task instance. Remove it, choose another path (such as "
            "one with the run id), or give KeyDestination(..., overwrite=True)."
        )
    elif pair is not None and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        problem = f"{str(path)!r} has mode {mode}, so others may have read it. Remove it to get a new key."
    if problem and not overwrite:
        raise ValueError(problem)
    if problem or pair is None:
        path.unlink()
        return None
    return pair


def _public_line(private: Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _write(path: Path, text: str) -> None:
    # O_EXCL refuses a link, and a file that another task creates at the same moment.
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
