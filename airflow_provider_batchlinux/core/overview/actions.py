"""The actions of people on pools, which runs of the maintenance Dag carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.core.ids import id_problems
from airflow_provider_batchlinux.core.text import joined


@dataclass(frozen=True)
class Action:
    """
    An action.

    :param name: its name in the ``conf`` of a run.
    :param label: what a button says.
    :param effect: what happens, as a sentence with ``{pool_id}``, ``{node_id}``, ``{username}`` and
        ``{hours}``.
    :param needs: the parameters besides the connection and the pool.
    :param is_destructive: whether something is lost.
    """

    name: str
    label: str
    effect: str
    needs: tuple[str, ...] = ()
    is_destructive: bool = False


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action(
            "delete",
            "Delete pool",
            "Pool {pool_id} is deleted with its nodes, their files and its users, also if Dag runs use it.",
            is_destructive=True,
        ),
        Action(
            "resize_to_0",
            "Resize to 0",
            "All nodes of pool {pool_id} are removed. Tasks that run on them wait until it has nodes again. "
            "Its autoscale formula is disabled.",
            is_destructive=True,
        ),
        Action(
            "extend",
            "Extend",
            "The end of pool {pool_id} moves to {hours} hours from now, unless it is later already.",
            needs=("hours",),
        ),
        Action(
            "reboot",
            "Reboot node",
            "Node {node_id} of pool {pool_id} is rebooted. Tasks that run on it are put back into the queue.",
            needs=("node_id",),
        ),
        Action(
            "revoke",
            "Revoke user",
            "User {username} is removed from all nodes of pool {pool_id}, also if another Dag added it.",
            needs=("username",),
            is_destructive=True,
        ),
    )
}
"""The actions by name."""

MOST_HOURS = 30 * 24


@dataclass(frozen=True)
class ActionRequest:
    """
    An action as a user asks for it.

    :param values: the parameters that the action needs, as text.
    """

    action: Action
    conn_id: str
    pool_id: str
    values: Mapping[str, str]

    @property
    def effect(self) -> str:
        """What happens, as a sentence."""
        return self.action.effect.format(pool_id=self.pool_id, **self.values)

    def to_conf(self) -> dict[str, Any]:
        """Return the ``conf`` of the run of the maintenance Dag."""
        values = {name: int(value) if name == "hours" else value for name, value in self.values.items()}
        return {"action": self.action.name, "conn_id": self.conn_id, "pool_id": self.pool_id, **values}


def read_action(form: Mapping[str, str]) -> ActionRequest:
    """
    Read an action from a form or a query.

    :raises ValueError: if it is no action, or a parameter is missing or wrong; every problem is named.
    """
    action = ACTIONS.get(form.get("action", ""))
    if action is None:
        msg = f"action={form.get('action', '')!r} is not one of {joined(list(ACTIONS))}."
        raise ValueError(msg)
    values = {name: form.get(name, "") for name in action.needs}
    problems = [*id_problems("pool", form.get("pool", ""))]
    if "hours" in values and not (values["hours"].isdecimal() and 0 < int(values["hours"]) <= MOST_HOURS):
        problems.append(f"hours={values['hours']!r} is not a whole number of hours from 1 to {MOST_HOURS}.")
    problems += [f"{name} is missing." for name, value in values.items() if not value]
    if problems:
        raise ValueError(" ".join(problems))
    return ActionRequest(action, form.get("conn", ""), form["pool"], values)
