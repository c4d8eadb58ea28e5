"""No answer gives back a password or key that was sent, whatever resource it is part of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux import emulator as package
from airflow_provider_batchlinux.emulator.protocol.versions import as_of, without_secrets
from airflow_provider_batchlinux.rest_schema import schema

SECRET = "hush-hush"
QUERY = "?api-version=2025-06-01"
DATA = files(package).joinpath("data")
BODIES: Mapping[str, Any] = schema()["bodies"]
VERSIONS: list[str] = json.loads(DATA.joinpath("versions.json").read_text())["known"]
SHOWN = {
    "pools": "BatchPoolCreateOptions",
    "jobs": "BatchJobCreateOptions",
    "tasks": "BatchTaskCreateOptions",
    "jobschedules": "BatchJobScheduleCreateOptions",
}
# Recorded, or marked as a secret in the published description; those of the registry and of CIFS are alike.
KNOWN = {
    ("AzureBlobFileSystemConfiguration", "accountKey"),
    ("AzureBlobFileSystemConfiguration", "sasKey"),
    ("AzureFileShareConfiguration", "accountKey"),
    ("BatchNodeUserCreateOptions", "password"),
    ("BatchNodeUserReplaceOptions", "password"),
    ("CifsMountConfiguration", "password"),
    ("ContainerRegistryReference", "password"),
    ("LinuxUserConfiguration", "sshPrivateKey"),
    ("UserAccount", "password"),
    ("VMExtension", "protectedSettings"),
}
REGISTRY = {"registryServer": "registry.example.com", "username": "etl", "password": SECRET}
CONTAINER = {"imageName": "ubuntu", "registry": REGISTRY}
START_TASK = {"commandLine": "/bin/true", "containerSettings": CONTAINER}
POOL = {
    "vmSize": "standard_d2s_v5",
    "targetDedicatedNodes": 1,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204"},
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        "containerConfiguration": {"type": "dockerCompatible", "containerRegistries": [REGISTRY]},
        "extensions": [
            {
                "name": "watch",
                "publisher": "Microsoft.Azure.Monitor",
                "type": "AzureMonitorLinuxAgent",
                "settings": {"shown": "yes"},
                "protectedSettings": {"key": SECRET},
            }
        ],
    },
    "userAccounts": [
        {"name": "etl", "password": SECRET, "linuxUserConfiguration": {"sshPrivateKey": SECRET}},
    ],
    "mountConfiguration": [
        {
            "azureBlobFileSystemConfiguration": {
                "accountName": "store",
                "containerName": "data",
                "accountKey": SECRET,
                "relativeMountPath": "data",
            }
        },
        {
            "azureFileShareConfiguration": {
                "accountName": "store",
                "azureFileUrl": "https://store.file.core.windows.net/share",
                "accountKey": SECRET,
                "relativeMountPath": "share",
            }
        },
        {
            "cifsMountConfiguration": {
                "username": "etl",
                "source": "//host/share",
                "password": SECRET,
                "relativeMountPath": "cifs",
            }
        },
    ],
    "startTask": START_TASK,
}
AUTO_POOL = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": POOL}}
TASK = {"commandLine": "/bin/true", "containerSettings": CONTAINER}
JOB = {
    "poolInfo": AUTO_POOL,
    "jobManagerTask": {"id": "manager", "killJobOnCompletion": False, **TASK},
    "jobPreparationTask": TASK,
    "jobReleaseTask": TASK,
}
SCHEDULE = {"schedule": {"recurrenceInterval": "PT1H"}, "jobSpecification": JOB}


def bodies(shape: str) -> st.SearchStrategy[Any]:
    """Generate bodies of a shape in which each secret is the same text and everything else another one."""
    kinds: Mapping[str, str] = BODIES[shape]["properties"]
    return st.fixed_dictionaries({}, optional={name: _values(kind) for name, kind in kinds.items()})


def _values(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("["):
        return st.lists(_values(kind[1:-1]), max_size=2)
    if kind in BODIES:
        return st.deferred(lambda: bodies(kind))
    return st.just(SECRET if kind.startswith("secret") else "shown")


def test_the_secrets_of_the_schema_are_known() -> None:
    marked = {
        (shape, name)
        for shape, body in BODIES.items()
        for name, kind in body["properties"].items()
        if kind.startswith("secret")
    }
    suspicious = {
        (shape, name)
        for shape, body in BODIES.items()
        for name in body["properties"]
        if any(word in name.lower() for word in ("password", "privatekey", "accountkey", "sas", "protected"))
    }

    assert marked == KNOWN == suspicious


@pytest.mark.parametrize("set_name", SHOWN)
def test_no_view_of_any_version_has_a_secret(set_name: str) -> None:
    @settings(max_examples=40, derandomize=True, database=None)
    @given(bodies(SHOWN[set_name]), st.sampled_from(VERSIONS))
    def holds(body: Any, version: str) -> None:
        assert SECRET not in json.dumps(as_of(version, set_name, body))
        assert SECRET not in json.dumps(without_secrets(SHOWN[set_name], body))

    holds()


def test_what_is_no_secret_is_shown_again() -> None:
    shown = without_secrets("BatchPoolCreateOptions", POOL)

    assert shown["userAccounts"] == [{"name": "etl", "linuxUserConfiguration": {}}]
    assert shown["mountConfiguration"][0]["azureBlobFileSystemConfiguration"]["accountName"] == "store"
    assert shown["virtualMachineConfiguration"]["extensions"][0]["settings"] == {"shown": "yes"}


def test_no_answer_of_the_service_has_a_secret(send: Any, eventually: Any) -> None:
    def post(path: str, body: Mapping[str, Any]) -> None:
        answer = send("POST", f"{path}{QUERY}", json.dumps(body).encode())
        assert answer.status == 201, answer.content

    post("/pools", {"id": "linux", **POOL})
    post("/jobs", {"id": "job", **JOB})
    post("/jobs/job/tasks", {"id": "task", **TASK})
    post("/jobschedules", {"id": "schedule", **SCHEDULE})
    nodes = eventually(lambda: send("GET", f"/pools/linux/nodes{QUERY}").body["value"], lambda found: found)
    node = f"/pools/linux/nodes/{nodes[0]['id']}"
    pools = [f"/pools/{pool['id']}" for pool in send("GET", f"/pools{QUERY}").body["value"]]
    paths = [
        *pools,
        "/pools",
        "/pools/linux/nodes",
        node,
        f"{node}/extensions",
        f"{node}/extensions/watch",
        "/jobs",
        "/jobs/job",
        "/jobs/job/tasks",
        "/jobs/job/tasks/task",
        "/jobs/job/tasks/manager",
        "/jobschedules",
        "/jobschedules/schedule",
        "/jobschedules/schedule/jobs",
    ]

    for path in paths:
        answer = send("GET", path + QUERY)
        assert answer.status == 200, path
        assert SECRET.encode() not in answer.content, path


def test_a_job_with_an_automatic_pool_can_be_sent_back_as_it_was_shown(send: Any) -> None:
    # Passwords of users and keys of file shares are required, so that only other secrets can be left out.
    pool = {name: POOL[name] for name in POOL if name not in ("userAccounts", "mountConfiguration")}
    info = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": pool}}
    send("POST", f"/jobs{QUERY}", json.dumps({"id": "job", **JOB, "poolInfo": info}).encode())
    shown = send("GET", f"/jobs/job{QUERY}").body
    again = {name: shown[name] for name in ("priority", "constraints", "poolInfo", "onAllTasksComplete")}

    assert send("PUT", f"/jobs/job{QUERY}", json.dumps(again).encode()).status == 200


def test_a_refusal_does_not_repeat_a_secret(send: Any) -> None:
    wrong = {"id": "linux", **POOL, "userAccounts": [{"name": "etl", "password": [SECRET]}]}
    send("POST", f"/jobs{QUERY}", json.dumps({"id": "job", **JOB}).encode())
    moved = {"autoPoolSpecification": {"poolLifetimeOption": "job", "pool": {**POOL, "displayName": "other"}}}

    for method, path, body in (("POST", "/pools", wrong), ("PATCH", "/jobs/job", {"poolInfo": moved})):
        answer = send(method, f"{path}{QUERY}", json.dumps(body).encode())
        assert answer.status == 400
        assert SECRET.encode() not in answer.content
