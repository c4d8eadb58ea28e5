"""Every operator and sensor that waits, in a state in which it defers: one table for what all share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.operators.job import BatchLinuxJobOperator
from airflow_provider_batchlinux.operators.node_users import (
    BatchLinuxAddNodeUsersOperator,
    BatchLinuxRemoveNodeUsersOperator,
)
from airflow_provider_batchlinux.operators.node_users_lease import BatchLinuxLeaseNodeUsersOperator
from airflow_provider_batchlinux.operators.nodes import (
    BatchLinuxDeallocateNodesOperator,
    BatchLinuxRebootNodesOperator,
    BatchLinuxReimageNodesOperator,
    BatchLinuxStartNodesOperator,
)
from airflow_provider_batchlinux.operators.pool import (
    BatchLinuxCreatePoolOperator,
    BatchLinuxDeletePoolOperator,
)
from airflow_provider_batchlinux.operators.pool_size import BatchLinuxResizePoolOperator
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.sensors.job import BatchLinuxJobSensor
from airflow_provider_batchlinux.sensors.nodes import BatchLinuxNodesIdleSensor
from airflow_provider_batchlinux.sensors.pool import BatchLinuxPoolGoneSensor, BatchLinuxPoolSteadySensor
from tests.batch_account import BatchAccount

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1dDqm0yxgP0lYQeCyWTDDVJRQnxmOJO2B2uvI1wxz8 tester"


def resizing(account: BatchAccount) -> None:
    """Make a pool that never gets its node."""
    account.make_pool(dedicated=1)


def steady(account: BatchAccount) -> None:
    """Make a pool without nodes, which can be resized."""
    account.make_pool()
    account.control.advance(100)
    account.wait_for_nodes({})


def idle(account: BatchAccount) -> None:
    """Make a pool with an idle node."""
    account.make_pool(dedicated=1)
    account.control.advance(100)
    account.wait_for_nodes({"idle": 1})


def starting(account: BatchAccount) -> None:
    """Make a pool with a node that never becomes idle."""
    idle(account)
    account.put_node("starting")


def deallocated(account: BatchAccount) -> None:
    """Make a pool with a node that has no machine."""
    idle(account)
    account.put_node("deallocated")


def deleting(account: BatchAccount) -> None:
    """Make a pool whose deletion never ends."""
    account.make_pool()
    account.hook.delete_pool("etl")


def queued(account: BatchAccount) -> None:
    """Make a job whose task never gets a node."""

    async def make(client: BatchLinuxClient) -> None:
        await client.create_job({"id": "render", "poolInfo": {"poolId": "etl"}})
        await client.create_task("render", {"id": "frame", "commandLine": "true"})

    resizing(account)
    account.hook.run(make)


@dataclass(frozen=True)
class Waiting:
    """
    A waiting operator or sensor, and a state of the account in which it waits for ever.

    :param cls: its class.
    :param prepare: brings the account into that state.
    :param options: its arguments.
    """

    cls: type[Any]
    prepare: Callable[[BatchAccount], object]
    options: dict[str, Any]

    @property
    def is_sensor(self) -> bool:
        """Whether it is a sensor."""
        return self.cls.__name__.endswith("Sensor")

    def task(self, **options: Any) -> Any:
        """Return a new instance, as every process of Airflow makes its own."""
        interval = "poke_interval" if self.is_sensor else "poll_interval"
        given = {"task_id": "wait", "pool_id": "etl", "deferrable": True, interval: 0.02, **self.options}
        given.update(options)
        if self.cls is BatchLinuxCreatePoolOperator:
            given.pop(interval)
        if self.cls is BatchLinuxJobSensor:
            given.pop("pool_id")
        task = self.cls(**given)
        task.dag = DAG("harness", schedule=None)
        return task


_HOUR = timedelta(hours=1)
_POOL = {"image": "ubuntu 24.04", "vm_size": "standard_d2s_v5"}
_USER = {"username": "etl", "ssh_public_key": KEY, "expires_in": _HOUR}

ALL_WAITING = {
    "create": Waiting(BatchLinuxCreatePoolOperator, deleting, _POOL),
    "delete": Waiting(BatchLinuxDeletePoolOperator, BatchAccount.make_pool, {}),
    "resize": Waiting(BatchLinuxResizePoolOperator, steady, {"dedicated_nodes": 1}),
    "reboot": Waiting(BatchLinuxRebootNodesOperator, idle, {}),
    "reimage": Waiting(BatchLinuxReimageNodesOperator, idle, {}),
    "deallocate": Waiting(BatchLinuxDeallocateNodesOperator, idle, {}),
    "start": Waiting(BatchLinuxStartNodesOperator, deallocated, {}),
    "add a user": Waiting(BatchLinuxAddNodeUsersOperator, resizing, _USER),
    "remove a user": Waiting(BatchLinuxRemoveNodeUsersOperator, starting, {"username": "etl"}),
    "lease": Waiting(BatchLinuxLeaseNodeUsersOperator, resizing, _USER),
    "task": Waiting(BatchLinuxTaskOperator, resizing, {"command": "true"}),
    "job": Waiting(BatchLinuxJobOperator, resizing, {"tasks": ["true"]}),
    "job elsewhere": Waiting(BatchLinuxJobSensor, queued, {"job_id": "render"}),
    "nodes idle": Waiting(BatchLinuxNodesIdleSensor, resizing, {}),
    "pool steady": Waiting(BatchLinuxPoolSteadySensor, resizing, {}),
    "pool gone": Waiting(BatchLinuxPoolGoneSensor, resizing, {}),
}

every_waiting = pytest.mark.parametrize(
    "waiting", [pytest.param(waiting, id=name) for name, waiting in ALL_WAITING.items()]
)
