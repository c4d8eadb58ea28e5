"""Operations on the files of tasks and nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.nodes import node_of, wrong_state
from airflow_provider_batchlinux.emulator.handlers.tasks import task_of
from airflow_provider_batchlinux.emulator.jobs.retention import end_of_retention
from airflow_provider_batchlinux.emulator.jobs.task_runs import task_directory
from airflow_provider_batchlinux.emulator.nodes.files import (
    FoundFile,
    find_file,
    list_files,
    place_in_list,
    read_range,
)
from airflow_provider_batchlinux.emulator.protocol.conditions import check_dates
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import format_http_date, format_instant
from airflow_provider_batchlinux.emulator.protocol.local_files import remove_tree
from airflow_provider_batchlinux.emulator.protocol.wire import Call, FileContent, Reply, pages
from airflow_provider_batchlinux.emulator.simulation.lifecycle import NODE_STATES


async def list_task_files(service: BatchService, call: Call) -> Reply:
    """Answer GET /jobs/{jobId}/tasks/{taskId}/files."""
    return await asyncio.to_thread(_list, call, _task_root(service, call))


async def get_task_file(service: BatchService, call: Call) -> Reply:
    """Answer GET and HEAD /jobs/{jobId}/tasks/{taskId}/files/{filePath}."""
    return await asyncio.to_thread(_get, call, _task_root(service, call))


async def delete_task_file(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /jobs/{jobId}/tasks/{taskId}/files/{filePath}."""
    return await asyncio.to_thread(_delete, call, _task_root(service, call))


async def list_node_files(service: BatchService, call: Call) -> Reply:
    """Answer GET /pools/{poolId}/nodes/{nodeId}/files."""
    return await asyncio.to_thread(_list, call, _node_root(service, call))


async def get_node_file(service: BatchService, call: Call) -> Reply:
    """Answer GET and HEAD /pools/{poolId}/nodes/{nodeId}/files/{filePath}."""
    return await asyncio.to_thread(_get, call, _node_root(service, call))


async def delete_node_file(service: BatchService, call: Call) -> Reply:
    """Answer DELETE /pools/{poolId}/nodes/{nodeId}/files/{filePath}."""
    return await asyncio.to_thread(_delete, call, _node_root(service, call))


def _task_root(service: BatchService, call: Call) -> Path:
    task = task_of(service, call)
    node = service.store.nodes(task.pool_id).get(task.node_id) if task.node_id else None
    if node is None or not NODE_STATES[node.state].has_machine:
        raise ServiceError(Code.TASK_FILES_UNAVAILABLE)
    directory = task_directory(service.lifecycle.machine(node), task)
    end = end_of_retention(task)
    if end is not None and end <= call.now and not directory.exists():
        raise ServiceError(Code.TASK_FILES_CLEANED_UP)
    return directory


def _node_root(service: BatchService, call: Call) -> Path:
    node = node_of(service, call)
    if not NODE_STATES[node.state].has_machine:
        # What the service answers is not documented; assumed.
        raise wrong_state(node)
    machine = service.lifecycle.machine(node)
    machine.make_directories()
    return machine.root


def _list(call: Call, root: Path) -> Reply:
    is_recursive = call.query.get("recursive", "false").lower() == "true"

    def after(key: str) -> Iterator[tuple[str, FoundFile]]:
        files = list_files(root, recursive=is_recursive)
        return (
            (file.name, file) for file in files if not key or place_in_list(file.name) > place_in_list(key)
        )

    # In a thread, no other request waits for a turn.
    return next(filter(None, pages(call, "files", after, lambda file: _file_view(call, file))))


def _get(call: Call, root: Path) -> Reply:
    file = find_file(root, call.path_values["filePath"])
    check_dates(call, file.modified)
    if call.method == "HEAD":
        return Reply(200, headers=_file_headers(call, file), content=FileContent(file.path, 0, file.size))
    if not file.is_regular:
        # What the service answers is not documented; assumed.
        reason = "A directory." if file.is_directory else "No regular file."
        raise ServiceError(Code.OPERATION_INVALID_FOR_CURRENT_STATE, {"Reason": reason})
    wanted = call.headers.get("ocp-range") or call.headers.get("range")
    offset, length = read_range(wanted, file.size)
    # Recorded: a range is answered with 200, not with 206.
    return Reply(200, headers=_file_headers(call, file), content=FileContent(file.path, offset, length))


def _delete(call: Call, root: Path) -> Reply:
    file = find_file(root, call.path_values["filePath"], is_followed=False)
    if not file.is_directory or file.path.is_symlink():
        file.path.unlink(missing_ok=True)
    elif call.query.get("recursive", "false").lower() == "true":
        remove_tree(file.path)
    elif any(file.path.iterdir()):
        reason = "The directory is not empty, and recursive is not true."
        raise ServiceError(Code.OPERATION_INVALID_FOR_CURRENT_STATE, {"Reason": reason})
    else:
        file.path.rmdir()
    return Reply(200)


def _file_headers(call: Call, file: FoundFile) -> Mapping[str, str]:
    # Recorded and documented: no ocp-creation-time on Linux.
    return {
        "content-type": file.content_type,
        "last-modified": format_http_date(file.modified),
        "ocp-batch-file-isdirectory": str(file.is_directory),
        "ocp-batch-file-mode": oct(file.mode),
        "ocp-batch-file-url": quote(call.base_url + call.path, safe=""),
    }


def _file_view(call: Call, file: FoundFile) -> dict[str, Any]:
    view: dict[str, Any] = {
        "name": file.name,
        "url": f"{call.base_url}{call.path}/{quote(file.name)}",
        "isDirectory": file.is_directory,
    }
    if not file.is_directory:
        view["properties"] = {
            "lastModified": format_instant(file.modified),
            "contentLength": str(file.size),
            "contentType": file.content_type,
            "fileMode": oct(file.mode),
        }
    return view
