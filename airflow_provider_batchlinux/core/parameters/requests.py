"""What the requests of several operators have in common."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_batchlinux.core.parameters.kinds import Flag, Id, Seconds, Text
from airflow_provider_batchlinux.core.parameters.reader import Request


@dataclass(frozen=True)
class OperatorRequest(Request):
    """
    The parameters of every operator and sensor.

    :param batch_linux_conn_id: the connection to the Batch account.
    """

    batch_linux_conn_id: Text


@dataclass(frozen=True)
class SensorRequest(OperatorRequest):
    """
    A wait of a sensor.

    :param deferrable: whether it waits on the triggerer.
    """

    deferrable: Flag


@dataclass(frozen=True)
class PoolIdRequest(OperatorRequest):
    """
    The parameters of an operator or sensor for one pool.

    :param pool_id: the pool's id.
    """

    pool_id: Id


@dataclass(frozen=True)
class WaitRequest(PoolIdRequest):
    """
    The parameters of an operator that waits.

    :param poll_interval: the seconds between two polls.
    :param deferrable: whether it waits on the triggerer.
    """

    poll_interval: Seconds
    deferrable: Flag
