"""Upload the logs of node agents to a storage container, for a support request."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.nodes.actions import refused_by
from airflow_provider_batchlinux.client.storage.access import StorageAccess
from airflow_provider_batchlinux.client.transport.fan_out import fan_out
from airflow_provider_batchlinux.core.instants import rest_instant
from airflow_provider_batchlinux.core.nodes.actions import NodeChoice
from airflow_provider_batchlinux.core.nodes.logs import LogRequest
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import counted
from airflow_provider_batchlinux.exceptions import BatchRequestError

log = logging.getLogger(__name__)

_MAX_CONCURRENCY = 16
_UPLOAD_WITHIN = timedelta(hours=6)
"""How long the SAS for the upload is valid. How long an upload takes is not documented."""


@dataclass(frozen=True)
class UploadedLogs:
    """
    The logs of a node that are being uploaded.

    :param directory: the directory in the container, which the service has chosen.
    :param files: how many files the node uploads.
    """

    node_id: str
    directory: str
    files: int

    def to_dict(self) -> dict[str, Any]:
        """Return the logs as an entry of a result."""
        return {"node_id": self.node_id, "directory": self.directory, "files": self.files}


async def upload_logs(
    client: BatchLinuxClient, storage: StorageAccess, pool_id: str, choice: NodeChoice, request: LogRequest
) -> list[UploadedLogs]:
    """
    Have the selected nodes upload the logs of their agents; the uploads go on after that.

    :return: empty if the pool has no such nodes.
    :raises BatchRequestError: the container does not exist; or some nodes refused, with their names, and the
        others upload their logs.
    """
    nodes = choice.chosen(await client.list_nodes(pool_id, where=choice.where()))
    if missing := choice.missing(nodes):
        log.warning("Pool %r has no nodes %s.", pool_id, ", ".join(map(repr, missing)))
    if not nodes:
        return []
    # The service accepts a container that does not exist (recorded), and its nodes then upload nothing.
    if request.grant.identity is None:
        await storage.require_container(request.grant)
    urls = await storage.urls([request.grant], _UPLOAD_WITHIN)
    since = client.clock.now() - request.since
    body = {**request.to_rest(urls[request.grant]), "startTime": rest_instant(since)}

    async def upload(node: NodeSnapshot) -> UploadedLogs | BatchRequestError:
        try:
            found = await client.upload_node_logs(pool_id, node.node_id, body)
        except BatchRequestError as error:
            return error
        directory = str(found.get("virtualDirectoryName") or "")
        return UploadedLogs(node.node_id, directory, int(found.get("numberOfFilesUploaded") or 0))

    answers = await fan_out(nodes, upload, max_concurrency=_MAX_CONCURRENCY)
    refused = [
        (node, answer)
        for node, answer in zip(nodes, answers, strict=True)
        if isinstance(answer, BatchRequestError)
    ]
    uploaded = [answer for answer in answers if isinstance(answer, UploadedLogs)]
    for one in uploaded:
        log.info("Node %r uploads %s to %r.", one.node_id, counted(one.files, "log file"), one.directory)
    if refused:
        some = counted(len(refused), "node")
        raise refused_by(refused, f"{some} of pool {pool_id!r} refused to upload logs; the others did not.")
    return uploaded
