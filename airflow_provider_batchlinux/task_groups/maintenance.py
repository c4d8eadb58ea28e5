"""A Dag that carries out what people ask for: delete, resize and extend pools, reboot nodes, revoke users."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.sdk import DAG, Param

from airflow_provider_batchlinux.core.overview.actions import ACTIONS, MOST_HOURS, read_action
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID
from airflow_provider_batchlinux.operators.node_users import BatchLinuxRemoveNodeUsersOperator
from airflow_provider_batchlinux.operators.nodes import BatchLinuxRebootNodesOperator
from airflow_provider_batchlinux.operators.pool import BatchLinuxDeletePoolOperator
from airflow_provider_batchlinux.operators.pool_size import (
    BatchLinuxDisableAutoscaleOperator,
    BatchLinuxResizePoolOperator,
)
from airflow_provider_batchlinux.operators.sweeper import BatchLinuxExtendPoolOperator

__all__ = ["maintenance_dag"]

log = logging.getLogger(__name__)


def maintenance_dag(
    dag_id: str = "batch_linux_maintenance",
    *,
    conn_ids: Sequence[str] = (DEFAULT_CONN_ID,),
    **kwargs: Any,
) -> DAG:
    """
    Return the Dag whose runs carry out the actions of the page "Batch pools".

    Each run carries out one action, which its configuration names. Who may start runs of this Dag may carry
    out all actions on all pools of the accounts, with the identity of the workers.

    .. code-block:: python

        dag = maintenance_dag(conn_ids=["batch_production"])

    :param dag_id: the id of the Dag, for the option ``[batch_linux] ui_maintenance_dag``.
    :param conn_ids: the connections to the accounts whose pools may be acted on.
    :param kwargs: further parameters of the Dag, such as ``default_args`` or ``access_control``.
    """
    options: dict[str, Any] = {"schedule": None, "catchup": False, "tags": ["azure", "batch"], **kwargs}
    with DAG(dag_id, params=_params(conn_ids), **options) as dag:
        where: dict[str, Any] = {
            "pool_id": "{{ params.pool_id }}",
            "batch_linux_conn_id": "{{ params.conn_id }}",
        }
        choose = BranchPythonOperator(task_id="choose", python_callable=_first_task)
        disable = BatchLinuxDisableAutoscaleOperator(task_id="disable_autoscale", **where)
        choose >> [
            # Who asks for it here knows whether a run uses the pool: the page shows it.
            BatchLinuxDeletePoolOperator(task_id="delete", force=True, **where),
            disable,
            BatchLinuxExtendPoolOperator(task_id="extend", expires_in="{{ params.hours * 3600 }}", **where),
            BatchLinuxRebootNodesOperator(task_id="reboot", node_ids=["{{ params.node_id }}"], **where),
            BatchLinuxRemoveNodeUsersOperator(
                task_id="revoke", username="{{ params.username }}", take_over=True, allow_empty=True, **where
            ),
        ]
        disable >> BatchLinuxResizePoolOperator(
            task_id="resize_to_0", dedicated_nodes=0, spot_nodes=0, **where
        )
    return dag


def _params(conn_ids: Sequence[str]) -> dict[str, Param]:
    return {
        "action": Param(type="string", enum=list(ACTIONS), description="What to do."),
        "conn_id": Param(type="string", enum=list(conn_ids), description="The connection to the account."),
        "pool_id": Param(type="string", pattern="^[A-Za-z0-9_-]{1,64}$", description="The pool's id."),
        "node_id": Param("", type="string", description="The node, for reboot."),
        "username": Param("", type="string", description="The user, for revoke."),
        "hours": Param(8, type="integer", minimum=1, maximum=MOST_HOURS, description="For extend."),
    }


def _first_task(params: Mapping[str, Any]) -> str:
    """Return the task that begins an action; a missing parameter fails the run before anything is done."""
    wanted = read_action({**{name: str(value) for name, value in params.items()}, "pool": params["pool_id"]})
    log.info("%s", wanted.effect)
    return "disable_autoscale" if wanted.action.name == "resize_to_0" else wanted.action.name
