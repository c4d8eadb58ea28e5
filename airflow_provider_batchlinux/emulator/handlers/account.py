"""Operations on the account: supported images, node counts, applications."""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers.serializers import node_counts_view
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply, element, listing
from airflow_provider_batchlinux.emulator.rules.images import supported_images


def list_applications(service: BatchService, call: Call) -> Reply:
    """Answer GET /applications. Azure Resource Manager adds them; here it is the control plane."""
    found = sorted(service.applications.items())
    after = lambda key: ((name, application) for name, application in found if name > key)  # noqa: E731
    return listing(call, "listapplicationsummariesresponses", after, dict)


def get_application(service: BatchService, call: Call) -> Reply:
    """Answer GET /applications/{applicationId}."""
    application = service.applications.get(call.path_values["applicationId"].lower())
    if application is None:
        raise ServiceError(Code.APPLICATION_NOT_FOUND)
    return element(call, "getapplicationsummaryresponse", application)


def list_supported_images(_service: BatchService, call: Call) -> Reply:
    """Answer GET /supportedimages."""
    images = [(f"{number:06}", image) for number, image in enumerate(supported_images(call.now))]
    after = lambda key: ((place, image) for place, image in images if place > key)  # noqa: E731
    return listing(call, "supportedimages", after, dict)


def list_pool_node_counts(service: BatchService, call: Call) -> Reply:
    """Answer GET /nodecounts."""
    pools = service.store.pools.after
    return listing(call, "poolnodecounts", pools, lambda pool: node_counts_view(service.store, pool))


def list_pool_usage_metrics(_service: BatchService, _call: Call) -> Reply:
    """Answer GET /poolusagemetrics, which the service has retired."""
    raise ServiceError(Code.POOL_USAGE_METRIC_API_RETIRED)
