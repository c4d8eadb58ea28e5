"""Users of nodes, as the SDK sees them."""

from __future__ import annotations

from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import HttpResponseError


@pytest.fixture
def node_id(client: BatchClient, make_pool: Any, nat_pool: models.NetworkConfiguration) -> str:
    make_pool(network_configuration=nat_pool)
    return next(iter(client.list_nodes("linux"))).id


def test_a_user_is_added_replaced_and_removed(client: BatchClient, node_id: str) -> None:
    user = models.BatchNodeUserCreateOptions(name="etl", password="secret")

    client.create_node_user("linux", node_id, user)
    assert _code(lambda: client.create_node_user("linux", node_id, user)) == "NodeUserExists"
    client.replace_node_user("linux", node_id, "etl", models.BatchNodeUserReplaceOptions())
    client.delete_node_user("linux", node_id, "etl")

    assert _code(lambda: client.delete_node_user("linux", node_id, "etl")) == "NodeUserNotFound"


def test_a_user_who_is_not_there_cannot_be_replaced(client: BatchClient, node_id: str) -> None:
    user = models.BatchNodeUserReplaceOptions(password="secret")

    code = _code(lambda: client.replace_node_user("linux", node_id, "etl", user))

    assert code == "NodeUserNotFound"


def test_users_of_a_reimaged_node_are_gone(client: BatchClient, node_id: str, eventually: Any) -> None:
    user = models.BatchNodeUserCreateOptions(name="etl", password="secret")
    client.create_node_user("linux", node_id, user)

    options = {"nodeReimageOption": "requeue"}
    client.begin_reimage_node("linux", node_id, options, polling_interval=0).result()
    eventually(lambda: client.get_node("linux", node_id).state, lambda state: state == "idle")

    assert _code(lambda: client.delete_node_user("linux", node_id, "etl")) == "NodeUserNotFound"


def test_remote_login_settings_name_the_port_of_the_endpoint(client: BatchClient, node_id: str) -> None:
    settings = client.get_node_remote_login_settings("linux", node_id)
    (endpoint,) = client.get_node("linux", node_id).endpoint_configuration.inbound_endpoints

    assert settings.remote_login_ip_address == "127.0.0.1"
    assert settings.remote_login_port == endpoint.frontend_port
    assert (endpoint.name, endpoint.backend_port) == ("ssh.0", 22)


def test_a_pool_without_a_nat_pool_has_no_way_in(client: BatchClient, make_pool: Any) -> None:
    make_pool()
    (node,) = client.list_nodes("linux")

    code = _code(lambda: client.get_node_remote_login_settings("linux", node.id))

    assert code == "OperationNotValidOnNode"
    assert node.endpoint_configuration is None


def _code(call: Any) -> str | None:
    with pytest.raises(HttpResponseError) as refusal:
        call()
    return refusal.value.error.code
