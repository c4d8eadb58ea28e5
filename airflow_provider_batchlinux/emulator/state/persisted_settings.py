"""What a state file keeps beside records: keys and limits of the account."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions, make_account_key
from airflow_provider_batchlinux.emulator.state.state_file import StateFile

_ACCOUNT_KEY = "account key"


@dataclass
class Quotas:
    """
    What the account may use; ``None`` means no limit.

    :param nodes_per_pool: how many nodes a pool with inter-node communication may have.
    """

    dedicated_cores: int | None = None
    spot_cores: int | None = None
    pools: int | None = None
    active_jobs: int | None = None
    nodes_per_pool: int | None = None


def account_key(options: EmulatorOptions, state: StateFile | None) -> str:
    """Return the key of the account: the one asked for, else the one kept, else a new one; it is kept."""
    if state is None:
        return options.key or make_account_key()
    key = options.key or state.settings().get(_ACCOUNT_KEY) or make_account_key()
    state.save_setting(_ACCOUNT_KEY, key)
    return key


def save_limits(state: StateFile, name: str, limits: Any) -> None:
    """
    Keep the limits that the control plane has set.

    :param limits: a dataclass; what of it is not a number is not kept.
    """
    numbers = {key: value for key, value in vars(limits).items() if value is None or isinstance(value, int)}
    state.save_setting(name, json.dumps(numbers))


def load_limits(state: StateFile, name: str, limits: Any) -> None:
    """Set limits as they were kept, if they were."""
    for key, value in json.loads(state.settings().get(name, "{}")).items():
        setattr(limits, key, value)
