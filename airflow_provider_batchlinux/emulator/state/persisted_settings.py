"""What a state file keeps beside records: keys and limits of the account."""

from __future__ import annotations

import json
from typing import Any

import asyncssh

from airflow_provider_batchlinux.emulator.nodes.ssh import make_host_key
from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions, make_account_key
from airflow_provider_batchlinux.emulator.state.state_file import StateFile

__all__ = ["account_key", "host_key", "keep_limits", "recall_limits"]

_ACCOUNT_KEY = "account key"
_HOST_KEY = "ssh host key"


def account_key(options: EmulatorOptions, state: StateFile | None) -> str:
    """Return the key of the account: the one asked for, else the one kept, else a new one; it is kept."""
    if state is None:
        return options.key or make_account_key()
    key = options.key or state.facts().get(_ACCOUNT_KEY) or make_account_key()
    state.keep_fact(_ACCOUNT_KEY, key)
    return key


def host_key(state: StateFile | None) -> asyncssh.SSHKey | None:
    """
    Return the host key of the nodes, so that clients who know it are not alarmed by a restart.

    :return: ``None`` without a state file: then the first node that needs one may make it.
    """
    if state is None:
        return None
    kept = state.facts().get(_HOST_KEY)
    if kept is not None:
        return asyncssh.import_private_key(kept)
    key = make_host_key()
    state.keep_fact(_HOST_KEY, key.export_private_key().decode())
    return key


def keep_limits(state: StateFile, name: str, limits: Any) -> None:
    """
    Keep the limits that the control plane has set.

    :param limits: a dataclass; what of it is not a number is not kept.
    """
    numbers = {key: value for key, value in vars(limits).items() if value is None or isinstance(value, int)}
    state.keep_fact(name, json.dumps(numbers))


def recall_limits(state: StateFile, name: str, limits: Any) -> None:
    """Set limits as they were kept, if they were."""
    for key, value in json.loads(state.facts().get(name, "{}")).items():
        setattr(limits, key, value)
