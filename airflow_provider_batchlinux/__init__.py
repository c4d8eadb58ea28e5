"""
Ready Linux nodes on Azure Batch for Apache Airflow.

cli/                                   the command batchlinux, for people at a terminal
task_groups/                           several operators as one block of a Dag
decorators/                            a Python function as a task on a node
operators/ sensors/ triggers/ links/   what a Dag uses: parameters, waiting, results, the Airflow UI
plugins/                               the page "Batch pools" in Airflow
hooks/                                 an Airflow connection becomes a client
client/                                the one async client; the only place that imports azure
core/                                  pure decisions: images, readiness, users, tasks, ids
rest_schema/                           the bodies of the REST API, generated from azure-batch
exceptions.py                          what is raised
on_node/                               programs that are sent to a node
emulator/                              the embedded Batch service; independent of the rest
get_provider_info.py                   what Airflow reads about all this

Imports point downwards only. Nothing is imported here, so that naming the package costs nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
