"""The keys and passwords that operators make for a user: where they go, and that nothing shows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.log import mask_secret

from airflow_provider_batchlinux.core.users.public_keys import holds_private_key, public_key_problems
from airflow_provider_batchlinux.operators._base import owner_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.core.users.secret_destination import KeyDestination, SecretRequest
    from airflow_provider_batchlinux.core.users.user import NodeUser

__all__ = [
    "advise",
    "generated_key",
    "generated_password",
    "generation_problems",
    "refuse_private_keys",
    "render_destinations",
]

_BESIDE = {"generate_key": "ssh_public_key", "generate_password": "password"}
_MADE = "Made %s for user %r; what is secret of it is in %r only."
_UNREADABLE = (
    "generate_password has no load, so a task that was deferred could not put the same password on the nodes "
    "that it waited for. Give load, or deferrable=False."
)
_FOUND = "Took %s for user %r from %r, where it was kept before."


def generation_problems(operator: Any) -> list[str]:
    """List what is wrong with where an operator's secrets shall go."""
    from airflow_provider_batchlinux.core.users.secret_destination import KeyDestination

    given = {name: place for name in _BESIDE if (place := _destination(operator, name)) is not None}
    places = {name: place for name, place in given.items() if isinstance(place, KeyDestination)}
    problems = [
        f"{name} is of type {type(place).__name__}, which names no place; a path or a KeyDestination does."
        for name, place in given.items()
        if name not in places
    ]
    for name, place in places.items():
        problems.extend(place.problems(name))
        if getattr(operator, _BESIDE[name]):
            problems.append(f"{name} and {_BESIDE[name]} are both given; choose one.")
    files = [place.file for place in places.values() if place.file]
    if len(files) > len(set(files)):
        problems.append("generate_key and generate_password name the same file; each takes one of its own.")
    word = places.get("generate_password")
    if word is not None and not word.is_readable and operator.deferrable and operator.wait_for_nodes:
        problems.append(_UNREADABLE)
    return problems


def generated_key(operator: Any, context: Context) -> str | None:
    """
    Make the key that ``generate_key`` asks for, or take that of an earlier try.

    :return: its public half; ``None`` when none is asked for.
    """
    place = _destination(operator, "generate_key")
    if place is None:
        return None
    from airflow_provider_batchlinux.client.users.generated_secrets import key_pair_at
    from airflow_provider_batchlinux.core.users.secret_destination import SSH_PRIVATE_KEY

    pair, is_new = key_pair_at(place, _request(operator, context, SSH_PRIVATE_KEY), mask_secret)
    what = f"the Ed25519 key {pair.fingerprint}"
    operator.log.info(_MADE if is_new else _FOUND, what, operator.username, place)
    return pair.public_line


def generated_password(operator: Any, context: Context, *, must_exist: bool) -> str | None:
    """
    Make the password that ``generate_password`` asks for, or take that of an earlier try.

    :param must_exist: only take it: nodes have it already.
    :return: the password; ``None`` when none is asked for.
    """
    place = _destination(operator, "generate_password")
    if place is None:
        return None
    from airflow_provider_batchlinux.client.users.generated_secrets import password_at
    from airflow_provider_batchlinux.core.users.secret_destination import PASSWORD

    request = _request(operator, context, PASSWORD)
    password, is_new = password_at(place, request, mask_secret, must_exist=must_exist)
    operator.log.info(_MADE if is_new else _FOUND, "a password", operator.username, place)
    return password


def advise(log: Any, user: NodeUser) -> None:
    """Warn of a key or password that is allowed and easily guessed."""
    from airflow_provider_batchlinux.core.users.passwords import password_advice
    from airflow_provider_batchlinux.core.users.public_keys import public_key_advice

    found = [public_key_advice(user.ssh_public_key) if user.ssh_public_key else None]
    found.append(password_advice(user.password) if user.password else None)
    for advice in filter(None, found):
        log.warning("%s", advice)


def render_destinations(operator: Any, render: Callable[[str], str]) -> None:
    """Render the paths inside an operator's destinations; other objects in the Dag file share these."""
    for name in _BESIDE:
        place: Any = getattr(operator, name, None)
        if getattr(place, "file", None) is not None:
            setattr(operator, name, replace(place, file=render(place.file)))


def refuse_private_keys(operator: Any) -> None:
    """
    Stop a private key that stands where none belongs, and take it out of the operator.

    :raises ValueError: there is one; it is not repeated.
    """
    for name in ("ssh_public_key", *_BESIDE):
        place = getattr(operator, name, None)
        text = place if isinstance(place, str) else getattr(place, "file", None)
        if not text or not holds_private_key(text):
            continue
        problems = public_key_problems(text) if name == "ssh_public_key" else _problems(name, text)
        setattr(operator, name, None)
        raise ValueError("\n".join(problems))


def _problems(name: str, text: str) -> list[str]:
    from airflow_provider_batchlinux.core.users.secret_destination import KeyDestination

    return KeyDestination(text).problems(name)


def _destination(operator: Any, name: str) -> KeyDestination | None:
    from airflow_provider_batchlinux.core.users.secret_destination import KeyDestination

    # An operator may make one and not the other.
    given: str | KeyDestination | None = getattr(operator, name, None)
    return KeyDestination(given) if isinstance(given, str) else given


def _request(operator: Any, context: Context, kind: str) -> SecretRequest:
    from airflow_provider_batchlinux.core.users.secret_destination import SecretRequest

    return SecretRequest(kind, operator.pool_id, operator.username, owner_of(context))
