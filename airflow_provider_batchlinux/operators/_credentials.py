"""Credentials of node users in operators: generate keys, warn of weak ones, stop misplaced private keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from airflow_provider_batchlinux.core.users.credentials import (
    KeyDestination,
    holds_private_key,
    password_advice,
    public_key_advice,
    public_key_problems,
)
from airflow_provider_batchlinux.operators._base import owner_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.core.users.user import NodeUser


def generation_problems(operator: Any) -> list[str]:
    """List what is wrong with ``generate_key`` of an operator."""
    given = operator.generate_key
    if given is None:
        return []
    if not isinstance(given, (str, KeyDestination)):
        return [f"generate_key is of type {type(given).__name__}. Give a path or a KeyDestination."]
    problems = _destination(given).problems("generate_key")
    if operator.ssh_public_key:
        problems.append("generate_key and ssh_public_key are both given; choose one.")
    return problems


def generated_key(operator: Any, context: Context) -> str | None:
    """
    Return the public half of the key that ``generate_key`` asks for; ``None`` if it asks for none.

    An earlier try's key is used again.
    """
    if operator.generate_key is None:
        return None
    from airflow_provider_batchlinux.client.users.generated_keys import key_pair_at

    destination = _destination(operator.generate_key)
    owner = " ".join(f"{name}={value}" for name, value in sorted(owner_of(context).items()))
    pair, is_new = key_pair_at(destination, owner, mask_secret)
    operator.log.info(
        "Generated the Ed25519 key %s for user %r. Its private half is in %r only."
        if is_new
        else "Using the Ed25519 key %s for user %r, which an earlier try wrote to %r.",
        pair.fingerprint,
        operator.username,
        destination.file,
    )
    return pair.public_line


def advise(log: Any, user: NodeUser) -> None:
    """Warn of a key or password that is allowed but weak."""
    key = public_key_advice(user.ssh_public_key) if user.ssh_public_key else None
    password = password_advice(user.password) if user.password else None
    for advice in filter(None, (key, password)):
        log.warning("%s", advice)


def render_destination(operator: Any, render: Callable[[str], str]) -> None:
    """Render the path inside ``generate_key``, in a copy: other tasks may share the object."""
    if isinstance(operator.generate_key, KeyDestination):
        operator.generate_key = replace(operator.generate_key, file=render(operator.generate_key.file))


def refuse_private_keys(operator: Any) -> None:
    """
    Raise ``ValueError`` if a parameter that is not secret holds a private key, and remove it there.

    Airflow stores the parameters of operators. The key is not repeated.
    """
    for name in ("ssh_public_key", "generate_key"):
        given = getattr(operator, name)
        text = given.file if isinstance(given, KeyDestination) else given
        if not isinstance(text, str) or not holds_private_key(text):
            continue
        is_public = name == "ssh_public_key"
        problems = public_key_problems(text) if is_public else _destination(text).problems(name)
        setattr(operator, name, None)
        raise ValueError("\n".join(problems))


def _destination(given: str | KeyDestination) -> KeyDestination:
    return given if isinstance(given, KeyDestination) else KeyDestination(given)
