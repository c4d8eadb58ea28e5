"""Where a node's SSH server is reached, if the service knows only other ports."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
from airflow_provider_batchlinux.client.nodes.endpoints import find_endpoint, reachable_choice
from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice
from airflow_provider_batchlinux.core.snapshots import Endpoint, NodeSnapshot
from airflow_provider_batchlinux.exceptions import NodeUsersError

DESKTOP = Endpoint("52.0.0.1", 15_000, public=True)
PRIVATE = Endpoint("10.0.0.4", 22, public=False)


class AnswersWithDesktop:
    """A client whose service answers as recorded for a node that maps 3389 only: with the port of that."""

    async def remote_login(self, _pool_id: str, _node_id: str) -> Endpoint:
        return DESKTOP


CLIENT = cast("BatchLinuxClient", AnswersWithDesktop())


def node(*backend_ports: int) -> NodeSnapshot:
    mapped = [
        {"backendPort": port, "frontendPort": 15_000, "publicIPAddress": "52.0.0.1", "protocol": "tcp"}
        for port in backend_ports
    ]
    body: dict[str, Any] = {"id": "n", "state": "idle", "ipAddress": "10.0.0.4"}
    return NodeSnapshot.from_rest({**body, "endpointConfiguration": {"inboundEndpoints": mapped}})


@pytest.mark.parametrize(
    ("choice", "backend_ports", "found"),
    [
        pytest.param("public", (3389,), None, id="another port is not SSH"),
        pytest.param(None, (3389,), PRIVATE, id="the private address instead"),
        pytest.param("public", (3389, 22), DESKTOP, id="SSH beside another port"),
        pytest.param("public", (), DESKTOP, id="a node that lists no port is asked"),
    ],
)
def test_only_a_mapping_of_port_22_is_taken_for_ssh(
    choice: AddressChoice, backend_ports: tuple[int, ...], found: Endpoint | None
) -> None:
    assert asyncio.run(find_endpoint(CLIENT, "etl", node(*backend_ports), choice)) == found


def test_a_pool_that_maps_only_another_port_has_no_public_access() -> None:
    pool = {
        "id": "etl",
        "networkConfiguration": {"endpointConfiguration": {"inboundNATPools": [{"backendPort": 3389}]}},
    }

    with pytest.raises(NodeUsersError, match="maps no port to SSH"):
        asyncio.run(reachable_choice(CLIENT, pool, [node(3389)], "public"))
    assert asyncio.run(reachable_choice(CLIENT, pool, [node(3389)], None)) == "private"
    assert asyncio.run(reachable_choice(CLIENT, pool, [node(3389), node()], "public")) == "public"
