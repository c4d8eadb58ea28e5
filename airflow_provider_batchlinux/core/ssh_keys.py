"""Whether a text is an SSH public key, or a private one by mistake; imports only the standard library."""

from __future__ import annotations

import base64
import binascii
import re

__all__ = ["holds_private_key", "public_key_problems"]

_KEY_TYPES = re.compile(
    r"ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
)


def public_key_problems(key: str) -> list[str]:
    """List why a text is not an SSH public key in OpenSSH's form; the text itself is never repeated."""
    if holds_private_key(key):
        return [
            "ssh_public_key holds a private key. Give the public half (the .pub file), and replace the pair."
        ]
    parts = key.strip().split(None, 2)
    if len(key.strip().splitlines()) != 1 or len(parts) < 2 or not _KEY_TYPES.fullmatch(parts[0]):
        return ["ssh_public_key is not one line such as 'ssh-ed25519 AAAA... comment'."]
    if _embedded_type(parts[1]) != parts[0]:
        return [f"ssh_public_key says {parts[0]!r}, but its base64 part holds no whole key of that type."]
    return []


def holds_private_key(text: str) -> bool:
    """Tell whether a text looks like a private key, in PEM, OpenSSH's or PuTTY's form."""
    return "PRIVATE KEY" in text or text.lstrip().startswith("PuTTY-User-Key-File")


def _embedded_type(encoded: str) -> str | None:
    fields = _fields(encoded)
    return fields[0].decode("ascii", errors="replace") if len(fields) > 1 else None


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
