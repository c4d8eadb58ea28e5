"""Find the user's own SSH public key, in a file or in the agent. Private keys are never read."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_batchlinux.core.users.credentials import public_key_problems

# In order of preference: the default file names of OpenSSH, except those of weak keys.
_NAMES = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")


@dataclass(frozen=True)
class OwnKey:
    """
    A public key whose private key the user has.

    :param line: one line in OpenSSH's format.
    :param identity: the file with which ``ssh`` finds the private key; ``None`` if only the agent has it.
    """

    line: str
    identity: Path | None


def own_key(given: Path | None) -> OwnKey:
    """
    Return the user's key: the given file, a default file in ``~/.ssh``, or the first key of the agent.

    :param given: the file of the public key, or of the private one that has the public one beside it.
    :raises ValueError: no key is found, or it is not valid.
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
            f"There is no SSH key: neither a file such as {folder}/{_NAMES[0]}.pub, nor a key in an agent. "
            "Create one with ssh-keygen -t ed25519, or pass a file with --key."
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
            f"The public key {public} cannot be read: {error}. Create it from the private key with "
            f"ssh-keygen -y -f {private} > {public}."
        )
        raise ValueError(msg) from error
    if problems := public_key_problems(line):
        msg = f"{public} is not a valid key: {' '.join(problems)}"
        raise ValueError(msg)
    return OwnKey(line, private if private.is_file() else public)


def _from_agent() -> str | None:
    try:
        listed = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    valid = [line for line in listed.stdout.splitlines() if not public_key_problems(line)]
    return valid[0].strip() if listed.returncode == 0 and valid else None
