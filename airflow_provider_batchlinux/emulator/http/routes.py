"""The operations of the API with their routes and handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from airflow_provider_batchlinux.emulator.account.service import BatchService
from airflow_provider_batchlinux.emulator.handlers import (
    account,
    autoscale,
    files,
    job_schedules,
    jobs,
    node_facts,
    nodes,
    pools,
    retired,
    tasks,
    users,
)
from airflow_provider_batchlinux.emulator.http.request_checks import check_request
from airflow_provider_batchlinux.emulator.protocol.error_catalogue import Code
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError, not_implemented
from airflow_provider_batchlinux.emulator.protocol.versions import check_operation
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply

Handler = Callable[[BatchService, Call], Reply | Awaitable[Reply]]

_POOL = "/pools/{poolId}"
_NODE = _POOL + "/nodes/{nodeId}"
_JOB = "/jobs/{jobId}"
_TASK = _JOB + "/tasks/{taskId}"
_SCHEDULE = "/jobschedules/{jobScheduleId}"
_REST = "{filePath}"
_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


@dataclass(frozen=True)
class Operation:
    """
    An operation of the API.

    :param handler: function that executes it; ``None`` if it is not implemented.
    :param until: last version of the API that has it; ``None`` for the newest.
    """

    name: str | None
    method: str
    path: str
    handler: Handler | None = None
    until: str | None = None

    def answer(self, service: BatchService, call: Call) -> Reply | Awaitable[Reply]:
        """Execute the operation."""
        check_request(call)
        if self.until is not None and call.api_version > self.until:
            raise ServiceError(Code.RESOURCE_NOT_FOUND)
        check_operation(call.api_version, self.name or "")
        if self.handler is None:
            raise not_implemented(what=f"the operation {self.name}")
        return self.handler(service, call)


OPERATIONS: tuple[Operation, ...] = (
    Operation("list_applications", "GET", "/applications", account.list_applications),
    Operation("get_application", "GET", "/applications/{applicationId}", account.get_application),
    Operation("list_pool_usage_metrics", "GET", "/poolusagemetrics", account.list_pool_usage_metrics),
    Operation("list_supported_images", "GET", "/supportedimages", account.list_supported_images),
    Operation("list_pool_node_counts", "GET", "/nodecounts", account.list_pool_node_counts),
    Operation("create_pool", "POST", "/pools", pools.create_pool),
    Operation("list_pools", "GET", "/pools", pools.list_pools),
    Operation("delete_pool", "DELETE", _POOL, pools.delete_pool),
    Operation("pool_exists", "HEAD", _POOL, pools.pool_exists),
    Operation("get_pool", "GET", _POOL, pools.get_pool),
    Operation("update_pool", "PATCH", _POOL, pools.update_pool),
    Operation(
        "disable_pool_auto_scale",
        "POST",
        _POOL + "/disableautoscale",
        autoscale.disable_pool_auto_scale,
    ),
    Operation("enable_pool_auto_scale", "POST", _POOL + "/enableautoscale", autoscale.enable_pool_auto_scale),
    Operation(
        "evaluate_pool_auto_scale",
        "POST",
        _POOL + "/evaluateautoscale",
        autoscale.evaluate_pool_auto_scale,
    ),
    Operation("resize_pool", "POST", _POOL + "/resize", pools.resize_pool),
    Operation("stop_pool_resize", "POST", _POOL + "/stopresize", pools.stop_pool_resize),
    Operation("replace_pool_properties", "POST", _POOL + "/updateproperties", pools.replace_pool_properties),
    Operation("remove_nodes", "POST", _POOL + "/removenodes", pools.remove_nodes),
    Operation("list_nodes", "GET", _POOL + "/nodes", nodes.list_nodes),
    Operation("get_node", "GET", _NODE, nodes.get_node),
    Operation("reboot_node", "POST", _NODE + "/reboot", nodes.reboot_node),
    Operation("start_node", "POST", _NODE + "/start", nodes.start_node),
    Operation("reimage_node", "POST", _NODE + "/reimage", nodes.reimage_node),
    Operation("deallocate_node", "POST", _NODE + "/deallocate", nodes.deallocate_node),
    Operation(
        "disable_node_scheduling",
        "POST",
        _NODE + "/disablescheduling",
        nodes.disable_node_scheduling,
    ),
    Operation("enable_node_scheduling", "POST", _NODE + "/enablescheduling", nodes.enable_node_scheduling),
    Operation(
        "get_node_remote_login_settings",
        "GET",
        _NODE + "/remoteloginsettings",
        users.get_node_remote_login_settings,
    ),
    Operation("upload_node_logs", "POST", _NODE + "/uploadbatchservicelogs", node_facts.upload_node_logs),
    Operation("list_node_extensions", "GET", _NODE + "/extensions", node_facts.list_node_extensions),
    Operation(
        "get_node_extension", "GET", _NODE + "/extensions/{extensionName}", node_facts.get_node_extension
    ),
    Operation("create_node_user", "POST", _NODE + "/users", users.create_node_user),
    Operation("replace_node_user", "PUT", _NODE + "/users/{userName}", users.replace_node_user),
    Operation("delete_node_user", "DELETE", _NODE + "/users/{userName}", users.delete_node_user),
    Operation("list_node_files", "GET", _NODE + "/files", files.list_node_files),
    Operation("get_node_file", "GET", _NODE + "/files/{filePath}", files.get_node_file),
    Operation("get_node_file_properties", "HEAD", _NODE + "/files/{filePath}", files.get_node_file),
    Operation("delete_node_file", "DELETE", _NODE + "/files/{filePath}", files.delete_node_file),
    Operation("create_job", "POST", "/jobs", jobs.create_job),
    Operation("list_jobs", "GET", "/jobs", jobs.list_jobs),
    Operation("get_job", "GET", _JOB, jobs.get_job),
    Operation("update_job", "PATCH", _JOB, jobs.update_job),
    Operation("replace_job", "PUT", _JOB, jobs.replace_job),
    Operation("delete_job", "DELETE", _JOB, jobs.delete_job),
    Operation("disable_job", "POST", _JOB + "/disable", jobs.disable_job),
    Operation("enable_job", "POST", _JOB + "/enable", jobs.enable_job),
    Operation("terminate_job", "POST", _JOB + "/terminate", jobs.terminate_job),
    Operation(
        "list_job_preparation_and_release_task_status",
        "GET",
        _JOB + "/jobpreparationandreleasetaskstatus",
        jobs.list_job_preparation_and_release_task_status,
    ),
    Operation("get_job_task_counts", "GET", _JOB + "/taskcounts", jobs.get_job_task_counts),
    Operation("create_task_collection", "POST", _JOB + "/addtaskcollection", tasks.create_task_collection),
    Operation("create_task", "POST", _JOB + "/tasks", tasks.create_task),
    Operation("list_tasks", "GET", _JOB + "/tasks", tasks.list_tasks),
    Operation("get_task", "GET", _TASK, tasks.get_task),
    Operation("replace_task", "PUT", _TASK, tasks.replace_task),
    Operation("delete_task", "DELETE", _TASK, tasks.delete_task),
    Operation("terminate_task", "POST", _TASK + "/terminate", tasks.terminate_task),
    Operation("reactivate_task", "POST", _TASK + "/reactivate", tasks.reactivate_task),
    Operation("list_subtasks", "GET", _TASK + "/subtasksinfo", tasks.list_subtasks),
    Operation("list_task_files", "GET", _TASK + "/files", files.list_task_files),
    Operation("get_task_file", "GET", _TASK + "/files/{filePath}", files.get_task_file),
    Operation("get_task_file_properties", "HEAD", _TASK + "/files/{filePath}", files.get_task_file),
    Operation("delete_task_file", "DELETE", _TASK + "/files/{filePath}", files.delete_task_file),
    Operation("create_job_schedule", "POST", "/jobschedules", job_schedules.create_job_schedule),
    Operation("list_job_schedules", "GET", "/jobschedules", job_schedules.list_job_schedules),
    Operation("job_schedule_exists", "HEAD", _SCHEDULE, job_schedules.job_schedule_exists),
    Operation("get_job_schedule", "GET", _SCHEDULE, job_schedules.get_job_schedule),
    Operation("update_job_schedule", "PATCH", _SCHEDULE, job_schedules.update_job_schedule),
    Operation("replace_job_schedule", "PUT", _SCHEDULE, job_schedules.replace_job_schedule),
    Operation("delete_job_schedule", "DELETE", _SCHEDULE, job_schedules.delete_job_schedule),
    Operation("disable_job_schedule", "POST", _SCHEDULE + "/disable", job_schedules.disable_job_schedule),
    Operation("enable_job_schedule", "POST", _SCHEDULE + "/enable", job_schedules.enable_job_schedule),
    Operation(
        "terminate_job_schedule", "POST", _SCHEDULE + "/terminate", job_schedules.terminate_job_schedule
    ),
    Operation("list_jobs_from_schedule", "GET", _SCHEDULE + "/jobs", job_schedules.list_jobs_from_schedule),
)

_CERTIFICATE = "/certificates/{certificate}"
RETIRED: tuple[Operation, ...] = (
    Operation(
        "list_node_agent_skus", "GET", "/nodeagentskus", retired.list_node_agent_skus, "2018-12-01.8.0"
    ),
    Operation("upgrade_pool_os", "POST", _POOL + "/upgradeos", retired.upgrade_pool_os, "2018-08-01.7.0"),
    Operation(
        "get_all_pools_lifetime_statistics",
        "GET",
        "/lifetimepoolstats",
        retired.get_all_pools_lifetime_statistics,
        "2022-10-01.16.0",
    ),
    Operation(
        "get_all_jobs_lifetime_statistics",
        "GET",
        "/lifetimejobstats",
        retired.get_all_jobs_lifetime_statistics,
        "2022-10-01.16.0",
    ),
    Operation(
        "get_node_remote_desktop", "GET", _NODE + "/rdp", retired.get_node_remote_desktop, "2024-02-01.19.0"
    ),
    Operation("list_certificates", "GET", "/certificates", retired.list_certificates, "2024-07-01.20.0"),
    Operation("create_certificate", "POST", "/certificates", None, "2024-07-01.20.0"),
    Operation("get_certificate", "GET", _CERTIFICATE, retired.refuse_certificate, "2024-07-01.20.0"),
    Operation("delete_certificate", "DELETE", _CERTIFICATE, retired.refuse_certificate, "2024-07-01.20.0"),
    Operation(
        "cancel_certificate_deletion",
        "POST",
        _CERTIFICATE + "/canceldelete",
        retired.refuse_certificate,
        "2024-07-01.20.0",
    ),
)
"""Operations that only older versions of the API have."""


@dataclass
class _Segment:
    """A node in the tree of routes: the segments that may follow, and its operations by method."""

    fixed: dict[str, _Segment] = field(default_factory=dict)
    named: tuple[str, _Segment] | None = None
    by_method: dict[str, Operation] = field(default_factory=dict)

    def step(self, segment: str) -> _Segment:
        """Return the child for a segment of a route, which is created if necessary."""
        if not segment.startswith("{"):
            return self.fixed.setdefault(segment, _Segment())
        if self.named is None:
            self.named = (segment, _Segment())
        return self.named[1]


class Router:
    """Finds the operation for a request in a tree of path segments."""

    def __init__(self, operations: tuple[Operation, ...] = OPERATIONS + RETIRED) -> None:
        self._root = _Segment()
        for operation in operations:
            place = self._root
            for segment in operation.path.strip("/").split("/"):
                place = place.step(segment)
            place.by_method[operation.method] = operation

    def match(self, method: str, raw_path: str) -> tuple[Operation, Mapping[str, str]]:
        """
        Return the operation, and the values for the ``{names}`` in its route.

        For an unknown path or method it is an operation without a name that raises the error.

        :param raw_path: the path as sent. Segments are decoded one by one, so that ``%2F`` in a file name is
            not a separator.
        """
        place, values = self._walk(_segments(raw_path))
        if place is None or not place.by_method:
            return Operation(None, method, raw_path, _not_found), {}
        operation = place.by_method.get(method)
        return operation or Operation(None, method, raw_path, _not_allowed), values

    def _walk(self, segments: list[str]) -> tuple[_Segment | None, dict[str, str]]:
        place, values = self._root, {}
        for position, segment in enumerate(segments):
            if segment.lower() in place.fixed:
                place = place.fixed[segment.lower()]
            elif place.named is None:
                return None, {}
            elif place.named[0] == _REST:
                values["filePath"] = unquote("/".join(segments[position:]))
                return place.named[1], values
            else:
                name, place = place.named
                values[name.strip("{}")] = unquote(segment)
        return place, values


def _segments(raw_path: str) -> list[str]:
    """Split a path. A key in parentheses, as in certificates, is a segment after its collection."""
    first, *rest = raw_path.removeprefix("/").removesuffix("/").split("/")
    set_name, bracket, key = first.partition("(")
    return [set_name, key.removesuffix(")"), *rest] if bracket else [first, *rest]


def _not_found(_service: BatchService, _call: Call) -> Reply:
    raise ServiceError(Code.RESOURCE_NOT_FOUND)


def _not_allowed(_service: BatchService, call: Call) -> Reply:
    is_known = call.method in _VERBS
    raise ServiceError(Code.UNSUPPORTED_HTTP_VERB if is_known else Code.INVALID_HTTP_VERB)
