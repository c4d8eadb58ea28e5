"""The management plane of the embedded service, over TLS as any client of Azure Resource Manager calls it."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from airflow_provider_batchlinux.emulator import ManagementFacts, RunningEmulator

IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
)
VERSION = "api-version=2025-06-01"
MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
    "nodeAgentSkuId": "batch.node.ubuntu 24.04",
}
POOL: dict[str, Any] = {
    "properties": {
        "vmSize": "STANDARD_D2S_V5",
        "deploymentConfiguration": {"virtualMachineConfiguration": MACHINE},
        "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 1, "resizeTimeout": "PT10M"}},
        "interNodeCommunication": "Disabled",
        "taskSchedulingPolicy": {"nodeFillType": "Pack"},
    }
}


class Client:
    """Calls the management plane of one emulator."""

    def __init__(self, emulator: RunningEmulator) -> None:
        assert emulator.management is not None
        assert emulator.identity is not None
        self.facts: ManagementFacts = emulator.management
        self.identity = emulator.identity
        self.account = (
            f"/subscriptions/{self.facts.subscription_id}/resourceGroups/{self.facts.resource_group}"
            f"/providers/Microsoft.Batch/batchAccounts/{emulator.account}"
        )
        self.region = f"/subscriptions/{self.facts.subscription_id}/providers/Microsoft.Batch/locations/x"
        self._context = ssl.create_default_context(cafile=emulator.ca)

    def token(self, audience: str | None = None, *, reader: bool = False) -> str:
        """Get a token of the local Entra."""
        facts = self.identity
        form = {
            "grant_type": "client_credentials",
            "client_id": facts.reader_client_id if reader else facts.client_id,
            "client_secret": facts.reader_client_secret if reader else facts.client_secret,
            "scope": f"{audience or self.facts.url}/.default",
        }
        url = f"{facts.authority}/{facts.tenant_id}/oauth2/v2.0/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        _, answer, _ = self._send("POST", url, urlencode(form), headers)
        return str(answer["access_token"])

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, query: str = VERSION,
        **headers: str,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Give status, body and headers of the answer."""
        bearer = self.token() if token is None else token
        given = {**({"Authorization": f"Bearer {bearer}"} if bearer else {}), **headers}
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        return self._send(method, f"{self.facts.url}{path}?{query}", text, given)

    def _send(self, method: str, url: str, text: str | None, headers: dict[str, str]) -> tuple[int, Any, Any]:
        parts = urlsplit(url)
        connection = HTTPSConnection(parts.netloc, timeout=10, context=self._context)
        try:
            connection.request(method, f"{parts.path}?{parts.query}", text, headers)
            response = connection.getresponse()
            raw = response.read()
            return response.status, json.loads(raw) if raw else None, response.headers
        finally:
            connection.close()


@pytest.fixture
def client(secure_emulator: RunningEmulator) -> Client:
    return Client(secure_emulator)


def test_the_account_tells_its_region_and_its_quotas(
    client: Client, secure_emulator: RunningEmulator
) -> None:
    secure_emulator.control.set_quota(dedicated_cores=500, spot_cores=100, pools=7)

    status, account, _ = client.call("GET", client.account.lower())

    assert status == 200
    assert account["location"] == "westeurope"
    assert account["id"] == client.account
    found = {name: account["properties"].get(name) for name in ("dedicatedCoreQuota", "lowPriorityCoreQuota")}
    assert found == {"dedicatedCoreQuota": 500, "lowPriorityCoreQuota": 100}
    assert account["properties"]["poolQuota"] == 7


def test_a_client_finds_the_endpoints_the_tenant_the_subscription_and_the_account(client: Client) -> None:
    _, cloud, _ = client.call("GET", "/metadata/endpoints", token="")
    subscription = f"/subscriptions/{client.facts.subscription_id}"
    paths = ["/tenants", "/subscriptions", f"{subscription}/providers/Microsoft.Batch/batchAccounts"]
    tenants, subscriptions, accounts = (client.call("GET", path)[1]["value"] for path in paths)

    assert (cloud["resourceManager"], cloud["batch"]) == (client.facts.url, "https://batch.core.windows.net/")
    assert cloud["authentication"]["loginEndpoint"] == client.identity.authority
    audience = cloud["authentication"]["audiences"][0]
    assert client.call("GET", subscription, token=client.token(audience))[1] == subscriptions[0]
    assert [tenant["tenantId"] for tenant in tenants] == [client.identity.tenant_id]
    assert [account["id"] for account in accounts] == [client.account]


def test_the_keys_of_the_account_are_for_who_may_write(
    client: Client, secure_emulator: RunningEmulator
) -> None:
    path = f"{client.account}/listKeys"

    assert client.call("POST", path)[1]["primary"] == secure_emulator.key
    assert client.call("POST", path, token=client.token(reader=True))[0] == 403


def test_sizes_are_told_with_family_capabilities_and_end(client: Client) -> None:
    _, answer, _ = client.call("GET", f"{client.region}/virtualMachineSkus")

    sizes = {size["name"]: size for size in answer["value"]}
    found = {item["name"]: item["value"] for item in sizes["Standard_D4s_v6"]["capabilities"]}
    assert (found["vCPUs"], found["HyperVGenerations"]) == ("4", "V2")
    assert sizes["Standard_D4s_v6"]["familyName"] == "standardDSv6Family"
    assert sizes["Standard_A1"]["batchSupportEndOfLife"] == "2024-08-31T00:00:00Z"


def test_a_pool_is_made_shown_and_changed(client: Client) -> None:
    named = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    pool = f"{client.account}/pools/etl"

    status, made, headers = client.call("PUT", pool, {**POOL, "identity": named, "tags": {"team": "etl"}})
    _, changed, _ = client.call("PATCH", pool, {"tags": {"team": "ml"}})
    _, shown, _ = client.call("GET", pool)

    assert (status, headers["etag"]) == (200, made["etag"])
    assert made["identity"]["userAssignedIdentities"][IDENTITY].keys() == {"clientId", "principalId"}
    properties = made["properties"]
    assert properties["vmSize"] == "standard_d2s_v5"
    assert properties["scaleSettings"]["fixedScale"]["targetDedicatedNodes"] == 1
    assert properties["taskSchedulingPolicy"]["nodeFillType"] == "Pack"
    machine = properties["deploymentConfiguration"]["virtualMachineConfiguration"]
    assert machine["nodeAgentSkuId"] == "batch.node.ubuntu 24.04"
    assert changed["tags"] == shown["tags"] == {"team": "ml"}
    assert shown["identity"] == made["identity"]
    _, listed, _ = client.call("GET", f"{client.account}/pools")
    assert [item["name"] for item in listed["value"]] == ["etl"]


def test_properties_are_changed_as_by_the_data_plane(client: Client) -> None:
    pool = f"{client.account}/pools/etl"
    client.call("PUT", pool, POOL)

    change = {"properties": {"startTask": {"commandLine": "true"}}, "identity": {"type": "None"}}
    _, changed, _ = client.call("PATCH", pool, change)

    assert changed["properties"]["startTask"]["commandLine"] == "true"
    assert "identity" not in changed


def test_an_existing_pool_is_not_created_again(client: Client) -> None:
    pool = f"{client.account}/pools/etl"
    client.call("PUT", pool, POOL)

    status, answer, _ = client.call("PUT", pool, POOL, **{"If-None-Match": "*"})

    assert (status, answer["error"]["code"]) == (412, "PreconditionFailed")
    assert client.call("PUT", pool, POOL)[0] == 501


def test_tags_go_with_their_pool(client: Client) -> None:
    pool = f"{client.account}/pools/etl"
    client.call("PUT", pool, {**POOL, "tags": {"team": "etl"}})
    status, _, headers = client.call("DELETE", pool)
    operation = urlsplit(headers["location"]).path
    while client.call("GET", operation)[0] == 202:
        pass

    _, made, _ = client.call("PUT", pool, POOL)

    assert status == 202
    assert made["tags"] == {}
    assert client.call("DELETE", f"{client.account}/pools/other")[0] == 204


REFUSALS = [
    pytest.param("GET", "/subscriptions/x{account}", None, 404, "InvalidResourceType", id="no such route"),
    pytest.param("GET", "{account}x", None, 404, "ResourceNotFound", id="another account"),
    pytest.param("GET", "{account}/pools/etl", None, 404, "PoolNotFound", id="no pool"),
    pytest.param("PUT", "{account}/pools/etl", "[]", 400, "InvalidRequestContent", id="no object"),
    pytest.param("PUT", "{account}/pools/etl", "{", 400, "InvalidRequestContent", id="no JSON"),
    pytest.param("PUT", "{account}/pools/etl", {}, 400, "MissingRequiredProperty", id="no properties"),
    pytest.param(
        "PUT",
        "{account}/pools/etl",
        {"properties": {**POOL["properties"], "targetDedicatedNodes": 1}},
        400,
        "InvalidRequestBody",
        id="a place of the data plane",
    ),
    pytest.param(
        "PUT",
        "{account}/pools/etl",
        {"properties": {"applicationPackageReferences": []}},
        400,
        "InvalidRequestBody",
        id="a name of the data plane",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSALS)
def test_what_cannot_be_answered_is_refused_in_the_form_of_azure(
    method: str, path: str, body: Any, status: int, code: str, client: Client
) -> None:
    found, answer, _ = client.call(method, path.format(account=client.account), body)

    assert (found, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]


def test_a_pool_runs_in_what_the_management_plane_has_made(client: Client) -> None:
    group = client.account.partition("/providers/")[0]
    network = f"{group}/providers/Microsoft.Network/virtualNetworks/vnet"
    rules = f"{group}/providers/Microsoft.Network/networkSecurityGroups/rules"
    gallery = f"{group}/providers/Microsoft.Compute/galleries/shared"
    west = {"location": "westeurope"}
    no_batch = {
        "direction": "Outbound",
        "access": "Deny",
        "priority": 100,
        "protocol": "Tcp",
        "destinationPortRanges": ["80", "400-500"],
        "destinationAddressPrefix": "Internet",
    }
    security = {"securityRules": [{"name": "no-batch", "properties": no_batch}]}
    subnets = [{"name": "a", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    regions = {"publishingProfile": {"targetRegions": [{"name": "West Europe"}]}}
    assert client.call("PUT", rules, {**west, "properties": security})[0] == 201
    assert client.call("PUT", network, {**west, "properties": {"subnets": subnets}})[0] == 201
    assert client.call("PUT", f"{gallery}/images/etl", {**west, "properties": {}})[0] == 404
    for path, properties in ((gallery, {}), (f"{gallery}/images/etl", {"hyperVGeneration": "V2"})):
        assert client.call("PUT", path, {**west, "properties": properties})[0] == 201
    east = {"location": "eastus", "properties": regions}
    assert client.call("PUT", f"{gallery}/images/etl/versions/1.0.0", east)[0] == 201

    closed = {"addressPrefix": "10.0.1.0/29", "networkSecurityGroup": {"id": rules}}
    assert client.call("PUT", f"{network}/subnets/b", {"properties": closed})[0] == 201
    machine = {**MACHINE, "imageReference": {"id": f"{gallery}/images/etl"}}
    for name in ("a", "b"):
        pool = {
            **POOL["properties"],
            "networkConfiguration": {"subnetId": f"{network}/subnets/{name}"},
            "deploymentConfiguration": {"virtualMachineConfiguration": machine},
        }
        assert client.call("PUT", f"{client.account}/pools/{name}", {"properties": pool})[0] == 200

    shown = client.call("GET", network)[1]
    assert [subnet["name"] for subnet in shown["properties"]["subnets"]] == ["a", "b"]
    listed = client.call("GET", f"{network}/subnets")[1]["value"]
    assert [subnet["properties"]["addressPrefix"] for subnet in listed] == ["10.0.0.0/24", "10.0.1.0/29"]
    usages = client.call("GET", f"{network}/usages")[1]["value"]
    assert [usage["limit"] for usage in usages] == [251, 3]
    assert client.call("DELETE", network)[0] == 200
    assert client.call("GET", f"{network}/subnets/a")[0] == 404


WRONG_RESOURCES = [
    pytest.param("Network/virtualNetworks/v", {"properties": {}}, "LocationRequired", id="no region"),
    pytest.param(
        "Network/virtualNetworks/v",
        {"location": "x", "properties": {"subnets": "a"}},
        "InvalidRequestFormat",
        id="no list",
    ),
    pytest.param(
        "Network/virtualNetworks/v",
        {"location": "x", "properties": {"subnets": [{"name": "a", "properties": {}}]}},
        "InvalidCIDRNotation",
        id="no range",
    ),
    pytest.param(
        "Network/networkSecurityGroups/n",
        {"location": "x", "properties": {"securityRules": [{"properties": {"priority": "1"}}]}},
        "InvalidRequestFormat",
        id="no number",
    ),
    pytest.param(
        "Compute/galleries/g/images/i", {"location": "x"}, "ParentResourceNotFound", id="no gallery"
    ),
]


@pytest.mark.parametrize(("path", "body", "code"), WRONG_RESOURCES)
def test_a_wrong_resource_is_refused(client: Client, path: str, body: Any, code: str) -> None:
    group = client.account.partition("/providers/")[0]

    status, answer, _ = client.call("PUT", f"{group}/providers/Microsoft.{path}", body)

    assert (status in (400, 404), answer["error"]["code"]) == (True, code)


def test_wrong_places_are_told_apart(client: Client) -> None:
    facts = client.facts
    wrong_group = client.account.replace(f"/{facts.resource_group}/", "/other/")
    wrong_subscription = client.account.replace(facts.subscription_id, "other")

    codes = [client.call("GET", path)[1]["error"]["code"] for path in (wrong_group, wrong_subscription)]

    assert codes == ["ResourceGroupNotFound", "SubscriptionNotFound"]


def test_a_version_is_required(client: Client) -> None:
    status, answer, _ = client.call("GET", client.account, query="")

    assert (status, answer["error"]["code"]) == (400, "MissingApiVersionParameter")


@pytest.mark.parametrize("audience", [None, "https://management.azure.com"])
def test_a_token_for_the_management_plane_is_taken(audience: str | None, client: Client) -> None:
    assert client.call("GET", client.account, token=client.token(audience))[0] == 200


@pytest.mark.parametrize("token", ["", "x.y.z", "batch"])
def test_no_other_token_is_taken(token: str, client: Client) -> None:
    given = client.token("https://batch.core.windows.net") if token == "batch" else token

    status, answer, headers = client.call("GET", client.account, token=given)

    assert (status, answer["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert headers["www-authenticate"].startswith(f'Bearer authorization_uri="{client.identity.authority}/')


def test_a_reader_reads_and_changes_nothing(client: Client) -> None:
    token = client.token(reader=True)

    assert client.call("GET", client.account, token=token)[0] == 200
    status, answer, _ = client.call("PUT", f"{client.account}/pools/etl", POOL, token=token)
    assert (status, answer["error"]["code"]) == (403, "AuthorizationFailed")


def test_requests_are_recorded(client: Client, secure_emulator: RunningEmulator) -> None:
    client.call("GET", client.account)

    assert [item["path"] for item in secure_emulator.control.requests()] == [client.account]
