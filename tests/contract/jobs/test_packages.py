"""Application packages: which references are taken, and what nodes have of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError

from tests.contract.conftest import IMAGE

PRINT = "#!/bin/sh\necho {}\n"
RUN_TOOLS = "/bin/sh -c '$AZ_BATCH_APP_PACKAGE_my_tools/run; $AZ_BATCH_APP_PACKAGE_my_tools_1_2_b/run; env'"
References = list[models.BatchApplicationPackageReference]


def references(*named: str) -> References:
    """Give references, each as ``application`` or ``application#version``."""
    split = [(name, version or None) for name, _, version in (each.partition("#") for each in named)]
    return [models.BatchApplicationPackageReference(application_id=name, version=v) for name, v in split]


@pytest.fixture
def tools(batch_emulator: Any) -> str:
    """Give the id of an application with two versions, of which the first is the default one."""
    batch_emulator.control.set_package("my-tools", "2", {"run": PRINT.format("new")}, is_default=False)
    files = {"run": PRINT.format("old"), "data/in.txt": "x"}
    application: str = batch_emulator.control.set_package("my-tools", "1.2-b", files, display_name="My tools")
    return application


@pytest.fixture
def run(client: BatchClient, make_pool: Any, eventually: Any) -> Callable[..., models.BatchTask]:
    """Give a function that runs a command on a pool, and returns its task and its output."""

    def run(command: str, packages: References, **pool: Any) -> models.BatchTask:
        make_pool(**pool)
        info = models.BatchPoolInfo(pool_id="linux")
        client.create_job(models.BatchJobCreateOptions(id="job", pool_info=info))
        task = models.BatchTaskCreateOptions(
            id="task", command_line=command, application_package_references=packages
        )
        client.create_task("job", task)
        return eventually(
            lambda: client.get_task("job", "task"), lambda task: task.state == models.BatchTaskState.COMPLETED
        )

    return run


def output(client: BatchClient) -> list[str]:
    return b"".join(client.download_task_file("job", "task", "stdout.txt")).decode().splitlines()


def test_an_application_is_shown_with_its_versions(client: BatchClient, tools: str) -> None:
    (listed,) = client.list_applications()
    shown = client.get_application("MY-tools")

    assert (listed.id, listed.versions) == (shown.id, shown.versions)
    assert (shown.id, shown.display_name, shown.versions) == ("my-tools", "My tools", ["1.2-b", "2"])


@pytest.mark.parametrize("of", ["pool", "task"])
def test_a_package_is_found_by_its_variables(client: BatchClient, run: Any, tools: str, of: str) -> None:
    given = references(tools)
    pool = {"application_package_references": given} if of == "pool" else {}
    task = run(RUN_TOOLS, given if of == "task" else [], **pool)

    assert task.execution_info.exit_code == 0
    printed = output(client)
    assert printed[:2] == ["old", "old"]
    (place,) = [
        line.partition("=")[2] for line in printed if line.startswith("AZ_BATCH_APP_PACKAGE_my_tools=")
    ]
    root = next(line.partition("=")[2] for line in printed if line.startswith("AZ_BATCH_NODE_ROOT_DIR="))
    assert place.startswith(f"{root}/applications/my-tools1.2-b")
    (node,) = client.list_nodes("linux")
    files = {file.name for file in client.list_node_files("linux", node.id, recursive=True)}
    assert f"{place.removeprefix(root + '/')}/data/in.txt" in files


def test_a_version_that_is_named_has_no_variable_without_it(
    client: BatchClient, run: Any, tools: str
) -> None:
    run("/bin/sh -c 'echo $AZ_BATCH_APP_PACKAGE_my_tools; $AZ_BATCH_APP_PACKAGE_my_tools_2/run'",
        references("my-tools#2"))  # fmt: skip

    assert output(client) == ["", "new"]


def test_a_start_task_has_the_packages_of_its_pool(client: BatchClient, make_pool: Any, tools: str) -> None:
    start = models.BatchStartTask(command_line=RUN_TOOLS, wait_for_success=True)
    make_pool(start_task=start, application_package_references=references(tools))

    (node,) = client.list_nodes("linux")
    printed = b"".join(client.download_node_file("linux", node.id, "startup/stdout.txt")).decode()

    assert printed.startswith("old\nold\n")


def test_a_package_that_cannot_be_unpacked_makes_nodes_unusable_and_tasks_fail(
    client: BatchClient, batch_emulator: Any, eventually: Any, run: Any
) -> None:
    batch_emulator.control.set_package("broken", "1", b"no archive")
    task = run("true", references("broken"))
    pool = models.BatchPoolCreateOptions(
        id="other",
        vm_size="standard_d2s_v5",
        virtual_machine_configuration=IMAGE,
        target_dedicated_nodes=1,
        application_package_references=references("broken"),
    )
    client.create_pool(pool)
    nodes = eventually(
        lambda: list(client.list_nodes("other")), lambda nodes: [n.state for n in nodes] == ["unusable"]
    )

    failure = task.execution_info.failure_info
    error = nodes[0].errors[0]
    assert failure is not None
    assert (failure.code, error.code) == ("ApplicationPackageError", "ApplicationPackageError")
    assert task.execution_info.exit_code is None
    assert {item.name: item.value for item in error.error_details}["ApplicationPackageReference"] == "broken"


def test_a_task_without_a_version_fails_if_there_is_no_default(
    client: BatchClient, batch_emulator: Any, run: Any
) -> None:
    batch_emulator.control.set_package("tools", "1", {}, is_default=False)

    task = run("true", references("tools"))

    assert task.execution_info.result == "failure"
    assert task.execution_info.failure_info.code == "ApplicationPackageError"


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        pytest.param("other", "does not exist", id="unknown application"),
        pytest.param("tools#2", "does not exist", id="unknown version"),
        pytest.param(
            "/subscriptions/s/resourceGroups/g/applications/tools", "does not exist", id="foreign id"
        ),
        pytest.param("tools", "no default version", id="no default version"),
    ],
)
def test_a_reference_that_means_no_package_is_refused(
    client: BatchClient, batch_emulator: Any, make_pool: Any, named: str, reason: str
) -> None:
    batch_emulator.control.set_package("tools", "1", {}, is_default=False)

    with pytest.raises(HttpResponseError) as refused:
        make_pool(application_package_references=references("tools#1", named))

    error: Any = refused.value.model
    assert (refused.value.status_code, error.code) == (409, "InvalidApplicationPackageReferences")
    ((name, why),) = [(value.key, value.value) for value in error.error_values]
    assert (name, reason in why) == (named.partition("#")[0], True)


def test_a_pool_has_at_most_ten_packages(client: BatchClient, batch_emulator: Any, make_pool: Any) -> None:
    with pytest.raises(HttpResponseError) as refused:
        make_pool(application_package_references=references(*("abcdefghijk")))

    assert refused.value.error.code == "InvalidPropertyValue"
