"""Operations on the VM extensions of a node and the logs of its agent."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.blobs.failures import without_signature
from airflow_provider_batchlinux.emulator.handlers.nodes import node_of, wrong_state
from airflow_provider_batchlinux.emulator.nodes.logs import collect_logs, log_directory, upload_logs
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, refused
from airflow_provider_batchlinux.emulator.protocol.instants import parse_instant
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, element, entity, listing
from airflow_provider_batchlinux.emulator.simulation.lifecycle import DOWN_NODE_STATES
from airflow_provider_batchlinux.emulator.state.records import Json, Node

_OWN_EXTENSION: Json = {
    "name": "batchNodeExtension",
    "publisher": "Microsoft.Azure.Extensions",
    "type": "CustomScript",
    "typeHandlerVersion": "2.0",
    "autoUpgradeMinorVersion": True,
}
"""Recorded: what Batch itself installs on each node is at the end of the list."""


async def list_node_extensions(service: BatchService, call: Call) -> Reply:
    """Answer GET /pools/{poolId}/nodes/{nodeId}/extensions."""
    node = node_of(service, call)
    extensions = [(f"{place:06}", found) for place, found in enumerate(_extensions(service, node).values())]
    return await listing(
        call,
        "extensions",
        lambda after: ((key, extension) for key, extension in extensions if key > after),
        lambda extension: _extension_view(node, extension),
    )


def get_node_extension(service: BatchService, call: Call) -> Reply:
    """
    Answer GET /pools/{poolId}/nodes/{nodeId}/extensions/{extensionName}.

    The code for an unknown name is not documented; assumed.
    """
    node = node_of(service, call)
    extension = _extensions(service, node).get(call.path_values["extensionName"].lower())
    if extension is None:
        raise ServiceError(Code.RESOURCE_NOT_FOUND)
    return element(call, "extensions", _extension_view(node, extension))


async def upload_node_logs(service: BatchService, call: Call) -> Reply:
    """
    Answer POST /pools/{poolId}/nodes/{nodeId}/uploadbatchservicelogs; the upload happens after the answer.

    Which states allow it is not documented; assumed.
    """
    node = node_of(service, call)
    body = call.read("UploadBatchServiceLogsOptions")
    _check_upload(body)
    if node.state in DOWN_NODE_STATES:
        raise wrong_state(node)
    machine = service.lifecycle.machine(node)
    logs = await asyncio.to_thread(collect_logs, machine.root, node)
    directory = log_directory(service.account, node, call.request_id)
    url = body["containerUrl"]
    if "identityReference" in body:
        url = service.storage.with_identity(url)
    machine.keep_running(f"logs {call.request_id}", upload_logs(url, directory, logs, service.storage))
    result = {"virtualDirectoryName": directory, "numberOfFilesUploaded": len(logs)}
    return entity(call, "UploadBatchServiceLogsResult", result)


def _check_upload(body: Json) -> None:
    url = urlsplit(body["containerUrl"])
    if url.scheme not in ("http", "https") or not url.netloc:
        raise refused(without_signature(body["containerUrl"]), of="containerUrl")
    if "endTime" in body and parse_instant(body["endTime"]) < parse_instant(body["startTime"]):
        raise refused(body["endTime"], of="endTime")


def _extensions(service: BatchService, node: Node) -> dict[str, Json]:
    machine = service.store.pool(node.pool_id).spec["virtualMachineConfiguration"]
    given = {extension["name"].lower(): extension for extension in machine.get("extensions", ())}
    return {**given, _OWN_EXTENSION["name"].lower(): _OWN_EXTENSION}


def _extension_view(node: Node, extension: Json) -> dict[str, Any]:
    """
    Return an extension as the node has it.

    Recorded: while the node is created, and that the level is a number, against the description. How the
    service words the status of an installed one is assumed.
    """
    shown = {"enableAutomaticUpgrade": False, **extension}
    if node.agent_since is None:
        return {"provisioningState": "Creating", "instanceView": {}, "vmExtension": shown}
    status = {"code": "ProvisioningState/succeeded", "displayStatus": "Provisioning succeeded", "level": 0}
    return {
        "provisioningState": "Succeeded",
        "vmExtension": shown,
        "instanceView": {"name": extension["name"], "statuses": [status]},
    }
