"""
Operations that only older versions of the API have, for older clients.

The answers are recorded, except for certificates and pools of cloud services, which no longer exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.nodes import node_of
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, element, listing
from airflow_provider_batchlinux.emulator.rules.images import known_images
from airflow_provider_batchlinux.emulator.state.records import Json

_TIMES = ("userCPUTime", "kernelCPUTime", "wallClockTime", "waitTime")
_NUMBERS = ("readIOps", "writeIOps", "numTaskRetries", "numSucceededTasks", "numFailedTasks")
_SIZES = (
    "avgCPUPercentage",
    "avgMemoryGiB",
    "peakMemoryGiB",
    "avgDiskGiB",
    "peakDiskGiB",
    "diskReadGiB",
    "diskWriteGiB",
    "networkReadGiB",
    "networkWriteGiB",
)


async def list_node_agent_skus(_service: BatchService, call: Call) -> Reply:
    """Answer GET /nodeagentskus, which ``/supportedimages`` has replaced."""
    return await listing(call, "nodeagentskus", _skus_after, dict)


def get_all_pools_lifetime_statistics(_service: BatchService, call: Call) -> Reply:
    """Answer GET /lifetimepoolstats: nothing is measured, as in an account that never had a pool."""
    measured = {"startTime": format_instant(call.now), "lastUpdateTime": format_instant(call.now)}
    sizes: dict[str, float | str] = dict.fromkeys(_SIZES, 0.0)
    view = {
        "url": call.url("lifetimepoolstats"),
        "usageStats": {**measured, "dedicatedCoreTime": "PT0S"},
        "resourceStats": {**measured, "diskReadIOps": "0", "diskWriteIOps": "0", **sizes},
    }
    return element(call, "poolstats", view)


def get_all_jobs_lifetime_statistics(_service: BatchService, call: Call) -> Reply:
    """Answer GET /lifetimejobstats: nothing is measured, as in an account that never had a job."""
    view = {
        "url": call.url("lifetimejobstats"),
        "startTime": format_instant(call.now),
        "lastUpdateTime": format_instant(call.now),
        **dict.fromkeys(_TIMES, "PT0S"),
        **dict.fromkeys(_NUMBERS, "0"),
        "readIOGiB": 0.0,
        "writeIOGiB": 0.0,
    }
    return element(call, "jobstats", view)


async def list_certificates(_service: BatchService, call: Call) -> Reply:
    """Answer GET /certificates: always empty, since certificates are retired."""
    return await listing(call, "certificates", lambda _: (), dict)


def refuse_certificate(_service: BatchService, _call: Call) -> Reply:
    """Answer every request for one certificate."""
    raise ServiceError(Code.CERTIFICATE_NOT_FOUND)


def get_node_remote_desktop(service: BatchService, call: Call) -> Reply:
    """Answer GET .../rdp; that a Linux node refuses it with this code is not documented; assumed."""
    node_of(service, call)
    reason = "There is no remote desktop on nodes that run Linux."
    raise ServiceError(Code.OPERATION_NOT_VALID_ON_NODE, {"Reason": reason})


def upgrade_pool_os(service: BatchService, call: Call) -> Reply:
    """Answer POST /pools/{poolId}/upgradeos, which was for pools of cloud services."""
    service.store.pool(call.path_values["poolId"])
    raise ServiceError(Code.POOL_NOT_ELIGIBLE_FOR_OS_VERSION_UPGRADE)


def _skus_after(key: str) -> Iterator[tuple[str, Json]]:
    def agent(image: Json) -> tuple[str, str]:
        return image["nodeAgentSKUId"], image["osType"]

    for (sku, system), images in groupby(sorted(known_images(), key=agent), key=agent):
        if sku > key:
            references = [image["imageReference"] for image in images]
            yield sku, {"id": sku, "verifiedImageReferences": references, "osType": system}
