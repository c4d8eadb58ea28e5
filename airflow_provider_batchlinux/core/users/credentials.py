"""SSH public keys, passwords and the file of a generated key: what is wrong with them, and what is weak."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, TypeAlias

from airflow_provider_batchlinux.core.parameters.kinds import Kind, decoded, flag_of, required_text_of
from airflow_provider_batchlinux.core.parameters.spec import Spec
from airflow_provider_batchlinux.core.secrets import hide_whole

_KEY_TYPES = re.compile(
    r"ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
)
_DSA = "ssh-dss"
_CERTIFICATE = re.compile(r"[a-z0-9-]+-cert-v\d\d@openssh\.com")
_NOT_A_LINE = "ssh_public_key is not one line such as 'ssh-ed25519 AAAA... comment'."

_MIN_RSA_BITS = 2048
# NIST SP 800-57 recommends 3072 beyond 2030; 2048 is accepted with a warning.
_GOOD_RSA_BITS = 3072
_MAX_RSA_BITS = 16_384
"""OpenSSH reads no longer numbers."""

_GOOD_LENGTH = 12
_GOOD_CLASSES = 3


@dataclass(frozen=True)
class KeyDestination(Spec):
    """
    The file that gets the private half of a generated key.

    A later try of the same task instance, also one that resumes after a deferral, uses the key in the file.

    .. code-block:: python

        KeyDestination("/mnt/keys/{{ run_id }}", overwrite=True)

    :param file: the absolute path of a file on the worker. It is created with mode 0600 in a directory that
        exists. A file that another task instance or program wrote is refused.
    :param overwrite: replace a file that another task instance or program wrote.
    """

    file: str
    overwrite: bool = False

    def problems(self, name: str) -> list[str]:
        """
        List what is wrong with the path.

        :param name: the parameter that has it.
        """
        path = str(self.file)
        if holds_private_key(path):
            return [f"{name} holds a private key. Give the path of a file for the new private key."]
        if not PurePosixPath(path).is_absolute():
            return [f"{name}={path!r} is not an absolute path. The working directory of a task may change."]
        return []


def public_key_problems(key: str) -> list[str]:
    """List why a text is not a sound SSH public key in OpenSSH's form. The text itself is never repeated."""
    if holds_private_key(key):
        return [
            "ssh_public_key holds a private key. Give the public half (the .pub file), and replace the pair."
        ]
    parts = key.strip().split(None, 2)
    if len(key.strip().splitlines()) != 1 or len(parts) < 2:
        return [_NOT_A_LINE]
    if not _KEY_TYPES.fullmatch(parts[0]):
        return [_type_problem(parts[0], key)]
    try:
        bits = _rsa_bits(parts[0], parts[1])
    except ValueError:
        return [f"ssh_public_key says {parts[0]!r}, but its base64 part is not a sound key of that type."]
    if bits is not None and not _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS:
        return [
            f"ssh_public_key is an RSA key of {bits} bits. Allowed are {_MIN_RSA_BITS} to {_MAX_RSA_BITS} "
            f"bits; {_GOOD_RSA_BITS} or more are recommended, and Ed25519 is better."
        ]
    return []


def public_key_advice(key: str) -> str | None:
    """
    Return what would be better than a key that has no problems; ``None`` if the key is strong.

    :param key: a key that passed :func:`public_key_problems`.
    """
    kind, blob, *_ = key.split()
    bits = _rsa_bits(kind, blob)
    if bits is None or bits >= _GOOD_RSA_BITS:
        return None
    return (
        f"The RSA key {fingerprint(key)} has {bits} bits, and {_GOOD_RSA_BITS} are recommended today. "
        "Ed25519 (ssh-keygen -t ed25519) is shorter and stronger."
    )


def fingerprint(key: str) -> str:
    """
    Return a public key's fingerprint as ``ssh-keygen -l`` shows it, such as ``SHA256:nThbg6k...``.

    :param key: one line in OpenSSH's form.
    :raises ValueError: the text is not such a line. It is not repeated.
    """
    if problems := public_key_problems(key):
        raise ValueError(problems[0])
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def holds_private_key(text: str) -> bool:
    """Return whether a text looks like a private key in PEM, OpenSSH's or PuTTY's form."""
    return "PRIVATE KEY" in text or text.lstrip().startswith("PuTTY-User-Key-File")


def password_problems(password: str) -> list[str]:
    """
    List why a password cannot be used to log in. The password itself is never repeated.

    The service accepted a password of six lower-case letters on a Linux node, so its rules are not guessed.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in password):
        return [
            "password holds a line break or another control character, which cannot be typed at a login. "
            "It may be the end of a file: strip it."
        ]
    return []


def password_advice(password: str) -> str | None:
    """Return why a password is easily guessed; ``None`` if it is strong. The password is not repeated."""
    tests: tuple[Callable[[str], bool], ...] = (str.islower, str.isupper, str.isdigit)
    classes = sum(any(test(character) for character in password) for test in tests)
    classes += any(not character.isalnum() for character in password)
    if len(password) >= _GOOD_LENGTH and classes >= _GOOD_CLASSES:
        return None
    return (
        f"The password has fewer than {_GOOD_LENGTH} characters, or fewer than {_GOOD_CLASSES} of lower "
        "case, upper case, digits and symbols. Attackers try such passwords on every open SSH port. "
        "Give a key instead, or a longer password."
    )


def _rsa_bits(kind: str, blob: str) -> int | None:
    """
    Read a public key, and return its length if it is an RSA key.

    :raises ValueError: the text is not a sound key of that type.
    """
    # Here and not above: operators import this module while a Dag file is parsed.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    # cryptography skips characters that are not base64, which OpenSSH does not.
    base64.b64decode(blob, validate=True)
    try:
        key = load_ssh_public_key(f"{kind} {blob}".encode())
    except UnsupportedAlgorithm as error:
        raise ValueError from error
    return key.key_size if isinstance(key, RSAPublicKey) else None


def _type_problem(found: str, key: str) -> str:
    if found == _DSA:
        return (
            "ssh_public_key is of type 'ssh-dss' (DSA), which OpenSSH no longer supports. "
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
    return _NOT_A_LINE


def hide_private_key(value: object, secrets: set[str]) -> object:
    """Replace a private key that is given in the place of something public."""
    if isinstance(value, Mapping):
        return {key: hide_private_key(item, secrets) for key, item in value.items()}
    return hide_whole(value, secrets) if isinstance(value, str) and holds_private_key(value) else value


def destination_of(value: object) -> KeyDestination | None:
    """Return the destination that a path or a mapping with the fields names."""
    if isinstance(value, KeyDestination):
        return value
    value = decoded(value)
    given = value if isinstance(value, Mapping) else {"file": value}
    file, overwrite = required_text_of(given.get("file")), flag_of(given.get("overwrite", False))
    if file is None or overwrite is None or not given.keys() <= {"file", "overwrite"}:
        return None
    return KeyDestination(file, overwrite)


PublicKey: TypeAlias = Annotated[
    str,
    Kind("text", required_text_of, lambda _, key: public_key_problems(key), hide=hide_private_key),
]
"""An SSH public key."""

Password: TypeAlias = Annotated[
    str, Kind("text", required_text_of, lambda _, password: password_problems(password), hide=hide_whole)
]
"""The password of a user."""

KeyFile: TypeAlias = Annotated[
    KeyDestination,
    Kind(
        "a path or a KeyDestination",
        destination_of,
        lambda name, destination: destination.problems(name),
        hide=hide_private_key,
    ),
]
"""The file of a generated key."""
