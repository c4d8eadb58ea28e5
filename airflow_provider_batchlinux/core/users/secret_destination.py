"""Where a key or password that is made for a node user goes; imports only the standard library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from airflow_provider_batchlinux.core.users.public_keys import holds_private_key

__all__ = ["PASSWORD", "SSH_PRIVATE_KEY", "KeyDestination", "SecretRequest"]

SSH_PRIVATE_KEY = "ssh_private_key"
PASSWORD = "password"


@dataclass(frozen=True)
class SecretRequest:
    """
    What a secret is made for: enough to choose a place for it.

    :param kind: ``"ssh_private_key"`` or ``"password"``.
    :param owner: the task instance: ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    """

    kind: str
    pool_id: str
    username: str
    owner: Mapping[str, str] = field(default_factory=dict)

    @property
    def comment(self) -> str:
        """Who made the secret, in one line: the same for every try of a task instance."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.owner.items()))


@dataclass(frozen=True, repr=False)
class KeyDestination:
    """
    Where the private half of a generated key, or a generated password, goes: to one place, and to no other.

    Give either ``file`` or ``save``. A try of the task that comes after another, also after it was deferred,
    takes what an earlier try left there.

    :param file: the absolute path of a file on the worker, made with mode 0600. Its directory has to
        be there. What a file of that name holds is used again when the same task instance made
        it, and refused otherwise.
    :param overwrite: replace a file that something else made.
    :param save: takes the secret to a place of your own, such as a path in a secrets backend, or a connection
        through Airflow's API: ``save(request, secret)``. What it raises fails the task before the user is on
        any node.
    :param load: gives back what ``save`` stored, or ``None`` when nothing is there: ``load(request)``. What
        it gives is used again whoever made it, so take a place of its own for each ``request.owner`` to
        have a new secret for each Dag run. ``None`` makes a new secret at each try, and that
        replaces the old one on the nodes.
    """

    file: str | None = None
    overwrite: bool = False
    save: Callable[[SecretRequest, str], None] | None = None
    load: Callable[[SecretRequest], str | None] | None = None

    def __repr__(self) -> str:
        """Show the same at every parse of the Dag file, which an object's address would not be."""
        given = {
            "file": repr(self.file) if self.file else None,
            "save": _name(self.save),
            "load": _name(self.load),
        }
        return f"KeyDestination({', '.join(f'{name}={text}' for name, text in given.items() if text)})"

    @property
    def is_readable(self) -> bool:
        """Whether a later try can take the secret from there."""
        return self.file is not None or self.load is not None

    def problems(self, name: str) -> list[str]:
        """
        List what is wrong with it.

        :param name: the parameter that it was given as.
        """
        if (self.file is None) == (self.save is None):
            return [f"{name} takes a file or a save, one of the two."]
        if self.save is None:
            return [*_path_problems(name, str(self.file)), *self._misplaced(name, "load", self.load)]
        return self._misplaced(name, "overwrite", self.overwrite)

    def _misplaced(self, name: str, option: str, value: object) -> list[str]:
        other = "save" if option == "load" else "a file"
        return [f"{name} has {option}, which goes with {other} only."] if value else []


def _path_problems(name: str, path: str) -> list[str]:
    if holds_private_key(path):
        return [f"{name} holds a private key. Give the path of the file that the new one shall go to."]
    if not PurePosixPath(path).is_absolute():
        return [f"{name}={path!r} is no absolute path; the directory that a task runs in says little."]
    return []


def _name(function: object) -> str | None:
    return None if function is None else getattr(function, "__qualname__", type(function).__qualname__)
