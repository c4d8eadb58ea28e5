"""The settings of an account in the state file: its key, quotas and capacity."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from airflow_provider_batchlinux.emulator.simulation.options import EmulatorOptions, make_account_key
from airflow_provider_batchlinux.emulator.state.state_file import StateFile

_ACCOUNT_KEY = "account key"
_SUBSCRIPTION = "subscription"


@dataclass
class Quotas:
    """
    The quotas of the account; ``None`` means no limit.

    :param nodes_per_pool: maximum number of nodes in a pool with inter-node communication.
    """

    dedicated_cores: int | None = None
    spot_cores: int | None = None
    pools: int | None = None
    active_jobs: int | None = None
    nodes_per_pool: int | None = None


def account_key(options: EmulatorOptions, state: StateFile | None) -> str:
    """Return and save the key of the account: that of the options, else the saved one, else a new one."""
    if state is None:
        return options.key or make_account_key()
    key = options.key or state.settings().get(_ACCOUNT_KEY) or make_account_key()
    state.save_setting(_ACCOUNT_KEY, key)
    return key


def subscription_id(state: StateFile | None) -> str:
    """Return and save the id of the subscription of the account: the saved one, else a new one."""
    saved = {} if state is None else state.settings()
    found = saved.get(_SUBSCRIPTION) or str(uuid4())
    if state is not None:
        state.save_setting(_SUBSCRIPTION, found)
    return found


def control_token(key: str) -> str:
    """
    Return the secret of the control plane.

    It follows from the account's key, and so stays the same where the key does. Any holder of the key may
    already do more: run commands as the owner.
    """
    return hmac.digest(base64.b64decode(key), b"control plane", "sha256").hex()


def save_limits(state: StateFile, name: str, limits: Any) -> None:
    """
    Save limits that the control plane has set.

    :param limits: a dataclass, of which the numbers are saved.
    """
    numbers = {key: value for key, value in vars(limits).items() if value is None or isinstance(value, int)}
    state.save_setting(name, json.dumps(numbers))


def load_limits(state: StateFile, name: str, limits: Any) -> None:
    """Set limits to their saved values, if there are any."""
    for key, value in json.loads(state.settings().get(name, "{}")).items():
        setattr(limits, key, value)
