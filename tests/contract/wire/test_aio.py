"""The asynchronous client of the SDK against the embedded service."""

from __future__ import annotations

import asyncio

from azure.batch import models
from azure.batch.aio import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from airflow_provider_batchlinux.emulator import RunningEmulator

IMAGE = models.VirtualMachineConfiguration(
    image_reference=models.BatchVmImageReference(
        publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
    ),
    node_agent_sku_id="batch.node.ubuntu 24.04",
)


def test_users_are_added_to_all_nodes_at_once(batch_emulator: RunningEmulator) -> None:
    async def add_users() -> list[str]:
        credential = AzureNamedKeyCredential(batch_emulator.account, batch_emulator.key)
        async with BatchClient(batch_emulator.endpoint, credential) as client:
            await _create_pool(client, nodes=20)
            nodes = [node.id async for node in client.list_nodes("linux", max_results=7)]
            user = models.BatchNodeUserCreateOptions(name="etl", password="secret")
            await asyncio.gather(*(client.create_node_user("linux", node_id, user) for node_id in nodes))
            return nodes

    nodes = asyncio.run(add_users())

    added = [r for r in batch_emulator.control.requests() if r["operation"] == "create_node_user"]
    assert len(set(nodes)) == 20
    assert [request["status"] for request in added] == [201] * 20


def test_a_file_name_with_odd_characters_is_signed_as_it_is_sent(
    batch_emulator: RunningEmulator,
) -> None:
    async def write_and_read() -> bytes:
        credential = AzureNamedKeyCredential(batch_emulator.account, batch_emulator.key)
        async with BatchClient(batch_emulator.endpoint, credential) as client:
            command = "/bin/sh -c 'echo hello > \"wd-å b.txt\"'"
            await _create_pool(client, 1, models.BatchStartTask(command_line=command))
            (node_id,) = [node.id async for node in client.list_nodes("linux")]
            name = "startup/wd/wd-å b.txt"
            content = await client.download_node_file("linux", node_id, name)
            return b"".join([chunk async for chunk in content])

    assert asyncio.run(write_and_read()) == b"hello\n"


async def _create_pool(
    client: BatchClient, nodes: int, start_task: models.BatchStartTask | None = None
) -> None:
    pool = models.BatchPoolCreateOptions(
        id="linux",
        vm_size="standard_d2s_v5",
        virtual_machine_configuration=IMAGE,
        target_dedicated_nodes=nodes,
        start_task=start_task,
    )
    await client.create_pool(pool)

    async def count_idle() -> int:
        (counts,) = [found async for found in client.list_pool_node_counts()]
        return counts.dedicated.idle

    async def become_idle() -> None:
        while await count_idle() < nodes:
            pass

    await asyncio.wait_for(become_idle(), 10)
