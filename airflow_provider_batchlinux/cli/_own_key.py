"""The caller's own SSH public key: from a file or from the agent. It opens no private key."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_batchlinux.core.users.credentials import public_key_problems

__all__ = ["OwnKey", "own_key"]

# In the order of preference; those of OpenSSH's own defaults that are worth having.
_NAMES = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")


@dataclass(frozen=True)
class OwnKey:
    """
    A public key whose private half the caller has.

    :param line: one line in OpenSSH's form.
    :param identity: the file by which ``ssh`` finds the private half; ``None`` when only the agent has it.
    """

    line: str
    identity: Path | None


def own_key(given: Path | None) -> OwnKey:
    """
    Find the caller's key: the given file, the usual ones of ``~/.ssh``, or the agent's first.

    :param given: the file of the public key, or of the private one that has the public one beside it.
    :raises ValueError: there is none, or it is not sound.
    """
    if given is not None:
        return _from_file(given.expanduser())
    folder = Path.home() / ".ssh"
    for name in _NAMES:
        if (folder / f"{name}.pub").is_file():
            return _from_file(folder / f"{name}.pub")
    line = _from_agent()
    if line is None:
        msg = (
            f"There is no SSH key: neither {folder}/{_NAMES[0]}.pub or its like, nor one in an agent. Make "
            "one with ssh-keygen -t ed25519, or name it with --key."
        )
        raise ValueError(msg)
    return OwnKey(line, None)


def _from_file(path: Path) -> OwnKey:
    private = path.with_suffix("") if path.suffix == ".pub" else path
    public = private.with_name(f"{private.name}.pub")
    try:
        line = public.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"The public key {public} cannot be read: {error}. ssh-keygen -y -f {private} > {public} makes "
            "it from the private one."
        )
        raise ValueError(msg) from error
    if problems := public_key_problems(line):
        msg = f"{public} is no key to log in with: {' '.join(problems)}"
        raise ValueError(msg)
    return OwnKey(line, private if private.is_file() else public)


def _from_agent() -> str | None:
    try:
        listed = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    sound = [line for line in listed.stdout.splitlines() if not public_key_problems(line)]
    return sound[0].strip() if listed.returncode == 0 and sound else None
