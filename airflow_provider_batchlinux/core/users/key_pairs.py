"""An Ed25519 pair as OpenSSH's file of a private key, written and read back; imports only the stdlib."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from airflow_provider_batchlinux.core.users.public_keys import fingerprint

__all__ = ["KeyPair"]

_TYPE = b"ssh-ed25519"
_MAGIC = b"openssh-key-v1\0"
_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"
_HALF = 32
_BLOCK = 8
_LINE = 70
_NOT_OURS = (
    "The private key is no Ed25519 key in OpenSSH's form without a passphrase, as this provider writes it."
)


@dataclass(frozen=True)
class KeyPair:
    """
    An Ed25519 key pair. It shows its public half only.

    :param seed: the 32 bytes that are the private half.
    :param public: the 32 bytes that are the public half.
    :param comment: what stands inside the private half, such as who made it.
    """

    seed: bytes = field(repr=False)
    public: bytes
    comment: str

    @property
    def public_line(self) -> str:
        """The public half in one line, as ``authorized_keys`` has it; without the comment, which is ours."""
        blob = _string(_TYPE) + _string(self.public)
        return f"{_TYPE.decode()} {base64.b64encode(blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """The public half's fingerprint, such as ``SHA256:...``."""
        return fingerprint(self.public_line)

    def private_text(self, check: int) -> str:
        """
        Write the private half as ``ssh-keygen`` does without a passphrase.

        OpenSSH's ``PROTOCOL.key`` describes the form.

        :param check: any number of 32 bits. With a passphrase it would tell whether that was right.
        """
        pair = _string(_TYPE) + _string(self.public)
        checks = check.to_bytes(4, "big") * 2
        inner = checks + pair + _string(self.seed + self.public) + _string(self.comment.encode())
        inner += bytes(range(1, 1 + -len(inner) % _BLOCK))
        none = _string(b"none")
        blob = _MAGIC + none + none + _string(b"") + (1).to_bytes(4, "big") + _string(pair) + _string(inner)
        encoded = base64.b64encode(blob).decode()
        lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
        return "\n".join([_BEGIN, *lines, _END, ""])

    @classmethod
    def parse(cls, text: str) -> KeyPair:
        """
        Read a pair back from what :meth:`private_text` wrote.

        :raises ValueError: the text is nothing of the kind; it is not repeated.
        """
        try:
            return cls._parse(text)
        except ValueError:
            raise ValueError(_NOT_OURS) from None

    @classmethod
    def _parse(cls, text: str) -> KeyPair:
        begin, *encoded, end = text.strip().splitlines()
        if (begin.strip(), end.strip()) != (_BEGIN, _END):
            raise ValueError
        blob = base64.b64decode("".join(line.strip() for line in encoded), validate=True)
        none = _string(b"none")
        head = _MAGIC + none + none + _string(b"") + (1).to_bytes(4, "big")
        if not blob.startswith(head):
            raise ValueError
        _, inner = _strings(blob[len(head) :], 2)
        kind, public, private, comment = _strings(inner[2 * 4 :], 4)
        if kind != _TYPE or len(private) != 2 * _HALF or private[_HALF:] != public:
            raise ValueError
        return cls(private[:_HALF], public, comment.decode())


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _strings(blob: bytes, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        end = 4 + int.from_bytes(blob[:4], "big")
        if len(blob) < end:
            raise ValueError
        found.append(blob[4:end])
        blob = blob[end:]
    return found
