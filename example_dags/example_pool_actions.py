"""
Carry out the actions of the page Batch pools: delete, resize and extend pools, reboot nodes, revoke users.

Set `[batch_linux] ui_maintenance_dag` to the id of this Dag. Each run carries out one action, with the
identity of the workers. Airflow's own permissions say who may start runs, and its audit log has each of them.
"""

from __future__ import annotations

from airflow_provider_batchlinux.task_groups.maintenance import maintenance_dag

# [START pool_actions]
dag = maintenance_dag("batch_linux_maintenance", conn_ids=["azure_batch_linux_default"], doc_md=__doc__)
# [END pool_actions]
