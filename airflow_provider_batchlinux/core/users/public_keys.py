"""Whether a text is an SSH public key worth having, and its fingerprint; imports only the stdlib."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence

__all__ = ["fingerprint", "holds_private_key", "public_key_advice", "public_key_problems"]

_KEY_TYPES = re.compile(
    r"ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
)
_DSA = "ssh-dss"
_CERTIFICATE = re.compile(r"[a-z0-9-]+-cert-v\d\d@openssh\.com")

_MIN_RSA_BITS = 2048
_GOOD_RSA_BITS = 3072
_MAX_RSA_BITS = 16_384
"""OpenSSH reads no longer numbers."""

_ED25519_BYTES = 32
_POINT_BYTES = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}


def public_key_problems(key: str) -> list[str]:
    """List why a text is not a sound SSH public key in OpenSSH's form; the text itself is never repeated."""
    if holds_private_key(key):
        return [
            "ssh_public_key holds a private key. Give the public half (the .pub file), and replace the pair."
        ]
    parts = key.strip().split(None, 2)
    if len(key.strip().splitlines()) != 1 or len(parts) < 2:
        return ["ssh_public_key is not one line such as 'ssh-ed25519 AAAA... comment'."]
    if not _KEY_TYPES.fullmatch(parts[0]):
        return [_type_problem(parts[0], key)]
    fields = _fields(parts[1])
    if len(fields) < 2 or fields[0] != parts[0].encode() or not _is_whole(fields):
        return [f"ssh_public_key says {parts[0]!r}, but its base64 part holds no whole key of that type."]
    return _rsa_problems(fields) if parts[0] == "ssh-rsa" else []


def public_key_advice(key: str) -> str | None:
    """
    Tell what would be better than a key that has no problems; ``None`` when it is as good as any.

    :param key: a key that passed :func:`public_key_problems`.
    """
    fields = _fields(key.split()[1])
    if fields[0] != b"ssh-rsa" or (bits := _bits(fields[2])) >= _GOOD_RSA_BITS:
        return None
    return (
        f"The RSA key {fingerprint(key)} has {bits} bits, and {_GOOD_RSA_BITS} are recommended for today; "
        "Ed25519 (ssh-keygen -t ed25519) is shorter and stronger."
    )


def fingerprint(key: str) -> str:
    """
    Give a public key's fingerprint as ``ssh-keygen -l`` shows it, such as ``SHA256:nThbg6k...``.

    :param key: one line in OpenSSH's form.
    :raises ValueError: the text is no such line; it is not repeated.
    """
    if problems := public_key_problems(key):
        raise ValueError(problems[0])
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def holds_private_key(text: str) -> bool:
    """Tell whether a text looks like a private key, in PEM, OpenSSH's or PuTTY's form."""
    return "PRIVATE KEY" in text or text.lstrip().startswith("PuTTY-User-Key-File")


def _type_problem(found: str, key: str) -> str:
    if found == _DSA:
        return (
            "ssh_public_key is of type 'ssh-dss' (DSA), which OpenSSH no longer takes. "
            "Give an Ed25519 key (ssh-keygen -t ed25519)."
        )
    if _CERTIFICATE.fullmatch(found):
        return (
            "ssh_public_key holds a certificate. Give the public key alone (the .pub file without '-cert')."
        )
    if any(_KEY_TYPES.fullmatch(word) for word in key.split()[1:]):
        return (
            "ssh_public_key has options before the key, as an authorized_keys file may. Give the key alone."
        )
    return "ssh_public_key is not one line such as 'ssh-ed25519 AAAA... comment'."


def _is_whole(fields: Sequence[bytes]) -> bool:
    kind = fields[0].decode()
    if kind == "ssh-rsa":
        return len(fields) == 3
    wanted = 3 if kind.startswith("sk-") else 2
    if "ed25519" in kind:
        return len(fields) == wanted and len(fields[1]) == _ED25519_BYTES
    if len(fields) != wanted + 1:
        return False
    curve, point = fields[1:3]
    return curve in kind.encode() and len(point) == _POINT_BYTES.get(curve) and point[0] == 4


def _rsa_problems(fields: Sequence[bytes]) -> list[str]:
    exponent, bits = int.from_bytes(fields[1], "big"), _bits(fields[2])
    found = []
    if not _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS:
        found.append(
            f"ssh_public_key is an RSA key of {bits} bits; OpenSSH and good sense take {_MIN_RSA_BITS} to "
            f"{_MAX_RSA_BITS}, {_GOOD_RSA_BITS} or more are recommended, and Ed25519 is better."
        )
    if exponent < 3 or exponent % 2 == 0:
        found.append("ssh_public_key is an RSA key whose exponent no sound key has. Make a new pair.")
    return found


def _bits(number: bytes) -> int:
    return int.from_bytes(number, "big").bit_length()


def _fields(encoded: str) -> list[bytes]:
    """Split a key into its fields, each after its length in four bytes; none when one is cut off."""
    try:
        rest = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return []
    fields = []
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        if len(rest) < end:
            return []
        fields.append(rest[4:end])
        rest = rest[end:]
    return fields
