"""Operations on the account: supported images, node counts, applications."""

from __future__ import annotations

from typing import Any

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import node_counts_view
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, element, listing
from airflow_provider_batchlinux.emulator.rules.images import supported_images
from airflow_provider_batchlinux.emulator.state.records import Application


async def list_applications(service: BatchService, call: Call) -> Reply:
    """Answer GET /applications."""
    found = service.store.applications.after
    after = lambda key: (  # noqa: E731
        (name, view)
        for name, application in found(key)
        if (view := _application_view(service, application)) is not None
    )
    return await listing(call, "listapplicationsummariesresponses", after, dict)


def get_application(service: BatchService, call: Call) -> Reply:
    """Answer GET /applications/{applicationId}."""
    application = service.applications.find(call.path_values["applicationId"])
    view = _application_view(service, application)
    if view is None:
        raise ServiceError(Code.APPLICATION_NOT_FOUND)
    return element(call, "getapplicationsummaryresponse", view)


def _application_view(service: BatchService, application: Application) -> dict[str, Any] | None:
    """Return an application. Documented: only what nodes can install is shown; ``None`` without any."""
    packages = service.store.packages(application.id)
    versions = sorted(package.name for package in packages if package.activated is not None)
    if not versions:
        return None
    named = {} if application.display_name is None else {"displayName": application.display_name}
    return {"id": application.id, **named, "versions": versions}


async def list_supported_images(_service: BatchService, call: Call) -> Reply:
    """Answer GET /supportedimages."""
    images = [(f"{number:06}", image) for number, image in enumerate(supported_images(call.now))]
    after = lambda key: ((place, image) for place, image in images if place > key)  # noqa: E731
    return await listing(call, "supportedimages", after, dict)


async def list_pool_node_counts(service: BatchService, call: Call) -> Reply:
    """Answer GET /nodecounts."""
    pools = service.store.pools.after
    return await listing(call, "poolnodecounts", pools, lambda pool: node_counts_view(service.store, pool))


def list_pool_usage_metrics(_service: BatchService, _call: Call) -> Reply:
    """Answer GET /poolusagemetrics, which the service has retired."""
    raise ServiceError(Code.POOL_USAGE_METRIC_API_RETIRED)
