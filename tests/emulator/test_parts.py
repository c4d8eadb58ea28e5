"""The small parts: store, router, bodies, ranges, quotas, programs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.blobs.failures import Failure, StorageFailed
from airflow_provider_batchlinux.emulator.blobs.storage import BlobStorage
from airflow_provider_batchlinux.emulator.http.routes import OPERATIONS, Router
from airflow_provider_batchlinux.emulator.nodes.files import find_file, read_range
from airflow_provider_batchlinux.emulator.nodes.output_files import Outputs, upload_output_files
from airflow_provider_batchlinux.emulator.nodes.programs import Command, Outcome, ProgramStarter, split_words
from airflow_provider_batchlinux.emulator.nodes.resource_files import fetch_resource_files
from airflow_provider_batchlinux.emulator.protocol.errors import ServiceError
from airflow_provider_batchlinux.emulator.protocol.schema import read_body
from airflow_provider_batchlinux.emulator.rules.images import (
    boot_problem,
    image_of,
    known_images,
    marketplace_traits,
    supported_images,
)
from airflow_provider_batchlinux.emulator.rules.vm_sizes import cores_of, is_vm_size
from airflow_provider_batchlinux.emulator.state.reaper import kill_orphans, reaping
from airflow_provider_batchlinux.emulator.state.records import Node
from airflow_provider_batchlinux.emulator.state.store import Collection, Store


async def run_program(command: Command) -> Outcome:
    with reaping(command.directory, keep_root=True) as reaper, closing(ProgramStarter(reaper)) as starter:
        async with starter.held(command) as outcome:
            return outcome


NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
NODE = Node("n", "p", 0, True, "idle", NOW, NOW)
IDS = st.text("abAB", min_size=1, max_size=2)


@given(st.lists(st.tuples(IDS, st.sampled_from(["idle", "running", "remove"]))))
def test_a_collection_counts_and_orders_what_it_holds(changes: list[tuple[str, str]]) -> None:
    nodes = Collection[Node](lambda node: node.state)
    expected: dict[str, str] = {}
    for node_id, state in changes:
        if state == "remove":
            nodes.pop(node_id)
            expected.pop(node_id.lower(), None)
        else:
            nodes.put(node_id, replace(NODE, id=node_id, state=state))
            expected[node_id.lower()] = state

    assert [key for key, _ in nodes.after("")] == sorted(expected)
    assert [key for key, _ in nodes.after("ab")] == sorted(key for key in expected if key > "ab")
    assert +nodes.counts == Counter(expected.values())


def test_versions_differ_even_at_the_same_instant() -> None:
    store = Store()

    etags = [store.next_version(NOW).etag for _ in range(3)]

    assert len(set(etags)) == 3
    assert etags == sorted(etags)


def test_every_operation_of_the_version_has_one_route() -> None:
    router = Router()

    assert len(OPERATIONS) == 72
    for operation in OPERATIONS:
        found, _ = router.match(operation.method, operation.path.replace("{", "").replace("}", ""))
        assert found is operation


def test_segments_of_a_path_are_decoded_one_by_one() -> None:
    _, values = Router().match("GET", "/pools/p%20q/nodes/n/files/a%2Fb/c%20d")

    assert values == {"poolId": "p q", "nodeId": "n", "filePath": "a/b/c d"}


@given(st.text())
def test_any_body_is_read_or_refused(text: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        read_body("BatchPoolCreateOptions", text.encode("utf-8", "surrogatepass"), "2025-06-01")

    assert refusal.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["id", "vmSize", "startTask", "metadata", "targetDedicatedNodes"]), JSON)
)
def test_any_value_of_a_known_property_is_read_or_refused(body: dict[str, object]) -> None:
    raw = json.dumps(body).encode()

    refusal = _refusal(lambda: read_body("BatchPoolCreateOptions", raw, "2025-06-01"))

    assert refusal is None or refusal.status == 400


@pytest.mark.parametrize(
    ("given_value", "read"),
    [({"targetDedicatedNodes": "3"}, 3), ({"targetDedicatedNodes": 3}, 3)],
)
def test_numbers_may_be_sent_as_texts(given_value: dict[str, object], read: int) -> None:
    body = json.dumps(given_value).encode()

    assert read_body("BatchPoolResizeOptions", body, "2025-06-01") == {"targetDedicatedNodes": read}


@pytest.mark.parametrize("value", [True, "many", 1.5, [], {}])
def test_what_is_no_number_is_refused(value: object) -> None:
    body = json.dumps({"targetDedicatedNodes": value}).encode()

    with pytest.raises(ServiceError, match="targetDedicatedNodes"):
        read_body("BatchPoolResizeOptions", body, "2025-06-01")


def test_choices_are_read_without_regard_to_case() -> None:
    body = b'{"onAllTasksComplete": "TerminateJob"}'

    read = read_body("BatchJobUpdateOptions", body, "2025-06-01")

    assert read == {"onAllTasksComplete": "terminatejob"}


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_never_leaves_its_file(size: int, first: int, last: int) -> None:
    content = bytes(range(size))
    text = f"bytes={first}-{last}"

    if first >= size or last < first:
        with pytest.raises(ServiceError, match="InvalidRange"):
            read_range(text, size)
    else:
        offset, length = read_range(text, size)
        assert content[offset : offset + length] == content[first : last + 1]


@given(st.text())
def test_no_name_finds_a_file_outside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp().resolve()

    refusal = _refusal(lambda: find_file(root, name))

    assert refusal is not None or find_file(root, name).path.is_relative_to(root)
    assert refusal is None or refusal.status == 404


@pytest.mark.parametrize(
    ("name", "cores"),
    [("standard_d2s_v5", 2), ("Standard_NC24ads_A100_v4", 24), ("standard_a1", 1), ("odd", 1)],
)
def test_cores_are_read_from_the_name_of_a_size(name: str, cores: int) -> None:
    assert cores_of(name) == cores


@pytest.mark.parametrize("name", ["thisisinvalid", "standard_", "d2s_v5", "standard_d2s v5", ""])
def test_what_is_no_name_of_a_size_is_known(name: str) -> None:
    assert not is_vm_size(name)


def test_images_ascend_and_are_found_by_any_case() -> None:
    names = [
        tuple(image["imageReference"][part] for part in ("publisher", "offer", "sku"))
        for image in known_images()
    ]

    assert names == sorted(set(names))
    reference = {"publisher": "Canonical", "offer": "Ubuntu-24_04-LTS", "sku": "Server"}
    image = image_of(reference)
    assert image is not None
    assert image["nodeAgentSKUId"] == "batch.node.ubuntu 24.04"
    assert image_of({"publisher": "canonical"}) is None


def test_an_image_is_listed_for_half_a_year_after_its_end() -> None:
    end = datetime(2027, 6, 30, tzinfo=timezone.utc)

    def is_listed(days: int) -> bool:
        skus = {image["imageReference"]["sku"] for image in supported_images(end + timedelta(days=days))}
        return "22_04-lts" in skus

    assert [is_listed(days) for days in (0, 179, 180)] == [True, True, False]


@pytest.mark.parametrize(
    ("vm_size", "offer", "sku", "problem"),
    [
        pytest.param("standard_d2s_v5", "ubuntu-24_04-lts", "server", None, id="both generations"),
        pytest.param("standard_a2_v2", "ubuntu-24_04-lts", "server", "Generation '2'", id="first only"),
        pytest.param(
            "STANDARD_D2s_v6", "ubuntu-24_04-lts", "server-gen1", "Generation '1'", id="second only"
        ),
        pytest.param("standard_d2ps_v5", "ubuntu-24_04-lts", "server-arm64", None, id="arm"),
        pytest.param("standard_d2ps_v5", "ubuntu-24_04-lts", "server", "'Arm64' cannot boot", id="x64 image"),
        pytest.param("standard_d2s_v5", "ubuntu-24_04-lts", "server-arm64", "'x64' cannot", id="arm image"),
        pytest.param("standard_zz9_v9", "ubuntu-24_04-lts", "server", None, id="unknown size"),
        pytest.param("standard_a2_v2", "own", "image", None, id="unknown image"),
    ],
)
def test_a_size_boots_images_of_its_generation_and_architecture(
    vm_size: str, offer: str, sku: str, problem: str | None
) -> None:
    reference = {"publisher": "canonical", "offer": offer, "sku": sku}

    found = boot_problem(vm_size, marketplace_traits(reference))

    assert found == problem if problem is None else problem in str(found)


@pytest.mark.parametrize(
    ("line", "code", "failure"),
    [
        pytest.param("/bin/sh -c 'exit 0'", 0, None, id="success"),
        pytest.param("/bin/sh -c 'exit 9'", 9, "FailureExitCode", id="failure"),
        pytest.param("/bin/sh -c 'kill -9 $$'", 137, "FailureExitCode", id="killed"),
        pytest.param("no-such-program", None, "CommandProgramNotFound", id="not found"),
        pytest.param("/etc/passwd", None, "CommandLaunchFailed", id="not a program"),
        pytest.param("echo 'open", None, "CommandLaunchFailed", id="quote left open"),
        pytest.param("", None, "CommandLaunchFailed", id="empty"),
        pytest.param("/bin/sleep 1000", None, "TaskEnded", id="too slow"),
    ],
)
def test_a_program_ends_with_a_code_or_a_failure(
    tmp_path: Path, line: str, code: int | None, failure: str | None
) -> None:
    outcome = asyncio.run(run_program(_command(tmp_path, line, timeout=0.5)))

    assert outcome.exit_code == code
    assert (outcome.failure or {}).get("code") == failure


def test_the_reaper_is_spared_with_what_shares_its_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So looks a program that is just being started: it is in the session of the reaper, and marked.
    monkeypatch.setenv("AZ_BATCH_NODE_ROOT_DIR", f"{tmp_path}/node")

    async def run() -> tuple[int, Outcome]:
        with reaping(tmp_path, keep_root=True) as reaper, closing(ProgramStarter(reaper)) as starter:
            before = reaper.pid
            kill_orphans(tmp_path)
            async with starter.held(_command(tmp_path, "/bin/true")) as outcome:
                return reaper.pid - before, outcome

    assert asyncio.run(run()) == (0, Outcome(0))


def test_programs_start_again_after_the_reaper_was_killed(tmp_path: Path, wait_until_gone: Any) -> None:
    async def run() -> list[int | None]:
        with reaping(tmp_path, keep_root=True) as reaper, closing(ProgramStarter(reaper)) as starter:

            async def code(line: str) -> int | None:
                async with starter.held(_command(tmp_path, line)) as outcome:
                    return outcome.exit_code

            # The first one kills its parent, which is the reaper; the others meet that at any moment. One
            # that the reaper has not reported as started is started again.
            kill = "test -e pid || { echo $$ > pid; kill -9 $PPID; exec sleep 1000; }"
            lines = [f"/bin/sh -c '{kill}'", *["/bin/true"] * 10]
            assert set(await asyncio.gather(*(code(line) for line in lines))) <= {0, 137}
            return [await code("/bin/true"), await code("/bin/false")]

    assert asyncio.run(run()) == [0, 1]
    wait_until_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("program", ["/bin/sleep", "/bin/no-such-program"])
def test_a_program_that_is_stopped_while_it_starts_leaves_nothing_behind(
    tmp_path: Path, program: str, unread_errors: list[logging.LogRecord]
) -> None:
    # Another run of this test on the same machine has another number.
    line = f"{program} 1{os.getpid()}"

    async def stop_twice() -> Outcome:
        with reaping(tmp_path, keep_root=True) as reaper, closing(ProgramStarter(reaper)) as starter:

            async def run(line: str) -> Outcome:
                async with starter.held(_command(tmp_path, line, timeout=10)) as outcome:
                    return outcome

            stopped = asyncio.ensure_future(run(line))
            for _ in range(2):
                for _ in range(10):
                    await asyncio.sleep(0)
                stopped.cancel()
            await asyncio.gather(stopped, return_exceptions=True)
            # It is killed when the service hears that it has started, which may be after the next one has.
            return await run(f"/bin/sh -c 'while pgrep -fx {line.replace(' ', '.')}; do :; done'")

    assert asyncio.run(stop_twice()).exit_code == 0
    assert not unread_errors


class _StoppedAtTheEnd(ProgramStarter):
    """Stops a run in the moment in which it hears that the program of the run has ended."""

    run: asyncio.Task[Outcome]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if b'"code"' in data:
            asyncio.get_running_loop().call_soon(self.run.cancel)


@pytest.mark.parametrize("limit", [None, 600.0])
def test_a_run_that_is_stopped_when_its_program_has_just_ended_does_not_go_on(
    tmp_path: Path, limit: float | None
) -> None:
    # It would give back the node a second time, which the next run of the task may have by then.
    async def run() -> bool:
        with reaping(tmp_path, keep_root=True) as reaper, closing(_StoppedAtTheEnd(reaper)) as starter:

            async def hold() -> Outcome:
                async with starter.held(_command(tmp_path, "/bin/true", timeout=limit)) as outcome:
                    return outcome

            starter.run = asyncio.ensure_future(hold())
            await asyncio.wait([starter.run])
            return starter.run.cancelled()

    assert asyncio.run(run())


def test_nothing_that_a_program_started_survives_it(tmp_path: Path, wait_until_gone: Any) -> None:
    line = "/bin/sh -c 'sleep 1000 & echo $!'"

    asyncio.run(run_program(_command(tmp_path, line)))

    wait_until_gone(int((tmp_path / "out").read_text()))


def _refusal(call: Callable[[], object]) -> ServiceError | None:
    try:
        call()
    except ServiceError as refusal:
        return refusal
    return None


def _command(directory: Path, line: str, timeout: float | None = None) -> Command:
    environment = {"PATH": "/usr/bin:/bin"}
    out, err = directory / "out", directory / "err"
    return Command(line, directory, environment, out, err, timeout)


def test_a_long_command_line_holds_up_nothing() -> None:
    async def run() -> tuple[list[str], int]:
        split = asyncio.ensure_future(split_words("/bin/echo " + "x" * 20_000))
        turns = 0
        while not split.done():
            turns += 1
            await asyncio.sleep(0)
        return split.result(), turns

    words, turns = asyncio.run(run())

    assert words == ["/bin/echo", "x" * 20_000]
    assert turns > 2


@pytest.mark.parametrize("failure", Failure)
def test_a_failure_of_storage_without_details_has_no_empty_list_of_them(failure: Failure) -> None:
    plain, told = StorageFailed(failure, {}).info, StorageFailed(failure, {"FilePath": "a"}).info

    assert plain == {"category": failure.category, "code": failure.code, "message": failure.sentence}
    assert told == {**plain, "details": [{"name": "FilePath", "value": "a"}]}


LINUX = """
almalinux/almalinux-arm: 9-arm-gen2
almalinux/almalinux-hpc: 8-hpc-gen1 8-hpc-gen2
almalinux/almalinux-x86_64: 8-gen1 8-gen2 9-gen1 9-gen2
canonical/0001-com-ubuntu-confidential-vm-jammy: 22_04-lts-cvm
canonical/0001-com-ubuntu-server-jammy: 22_04-lts 22_04-lts-gen2
canonical/ubuntu-24_04-lts: cvm server server-arm64 server-gen1
microsoft-dsvm/ubuntu-hpc: 2204 2204-rocm 2404 2404-arm64
microsoftcblmariner/azure-linux-3: azure-linux-3 azure-linux-3-arm64 azure-linux-3-gen2
resf/rockylinux-aarch64: rockylinux-aarch64-9 rockylinux-aarch64-9-lvm
resf/rockylinux-x86_64: 8-lvm 9-base 9-lvm
"""


def test_the_images_of_february_2026_are_those_that_were_recorded() -> None:
    found: dict[str, list[str]] = {}
    for image in supported_images(datetime(2026, 2, 3, tzinfo=timezone.utc)):
        if image["osType"] == "linux":
            reference = image["imageReference"]
            found.setdefault(f"{reference['publisher']}/{reference['offer']}", []).append(reference["sku"])

    assert "\n".join(f"{name}: {' '.join(skus)}" for name, skus in found.items()) == LINUX.strip()


def test_only_ubuntu_2204_has_an_end_of_support() -> None:
    # The list of February 2026 had none; Microsoft announced this one afterwards.
    ends = {
        image["nodeAgentSKUId"]: image["batchSupportEndOfLife"]
        for image in supported_images(datetime(2026, 2, 3, tzinfo=timezone.utc))
        if "batchSupportEndOfLife" in image
    }

    assert ends == {"batch.node.ubuntu 22.04": "2027-06-30T00:00:00Z"}


def test_paths_that_linux_cannot_take_hold_up_nothing(tmp_path: Path) -> None:
    storage = BlobStorage(tmp_path / "blobs", "", lambda: NOW)
    path = "a/" * 400_000
    failure = asyncio.run(
        fetch_resource_files([{"httpUrl": "http://x", "filePath": path}], tmp_path, storage)
    )
    upload = {"destination": {"container": {"containerUrl": "http://x"}}, "filePattern": path}
    upload["uploadOptions"] = {"uploadCondition": "TaskCompletion"}
    outputs = Outputs([upload], tmp_path, tmp_path, {})

    assert failure is not None
    assert failure["code"] == "ResourceFileWriteFailed"
    assert {"name": "Message", "value": "File name too long"} in failure["details"]
    assert asyncio.run(upload_output_files(outputs, Outcome(0), storage)) == Outcome(0)
    assert "no path on the node is so long" in (tmp_path / "fileuploadout.txt").read_text()
