"""The request of the decorator that runs a Python function on a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from airflow_provider_batchlinux.core.parameters.kinds import Flag, Text
from airflow_provider_batchlinux.core.tasks.requests import TaskRequest

Serializer: TypeAlias = Literal["json", "cloudpickle"]
"""How arguments and result travel."""


@dataclass(frozen=True)
class FunctionRequest(TaskRequest):
    """
    A Python function to run on a node of a pool.

    :param requirements: the packages that it needs, as lines of a requirements file; ``None`` for none.
    :param python: the interpreter on the node.
    :param serializer: how arguments and result travel.
    :param expect_airflow: whether Airflow has to be on the node.
    """

    requirements: tuple[Text, ...] | None
    python: Text
    serializer: Serializer
    expect_airflow: Flag
