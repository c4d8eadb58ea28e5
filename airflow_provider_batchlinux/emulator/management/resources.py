"""The resources of the management plane: the account, the VM sizes of its region, and its pools."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from airflow_provider_batchlinux.emulator.account.account import EmulatedAccount
from airflow_provider_batchlinux.emulator.handlers.serializers import pool_view
from airflow_provider_batchlinux.emulator.management.applications import ROUTES as APPLICATION_ROUTES
from airflow_provider_batchlinux.emulator.management.applications import ManagedApplications
from airflow_provider_batchlinux.emulator.management.arm import (
    ArmAnswer,
    ArmCall,
    ArmError,
    ManagementFacts,
    not_found,
)
from airflow_provider_batchlinux.emulator.management.linked import ROUTES as RESOURCE_ROUTES
from airflow_provider_batchlinux.emulator.management.linked import ManagedResources
from airflow_provider_batchlinux.emulator.management.names import (
    data_plane_properties,
    management_properties,
)
from airflow_provider_batchlinux.emulator.management.tenancy import ROUTES as TENANCY_ROUTES
from airflow_provider_batchlinux.emulator.management.tenancy import ManagedTenancy
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant
from airflow_provider_batchlinux.emulator.protocol.versions import NEWEST, as_of
from airflow_provider_batchlinux.emulator.protocol.wire import Call, Reply
from airflow_provider_batchlinux.emulator.rules.vm_sizes import SIZES
from airflow_provider_batchlinux.emulator.state.records import Pool

_BATCH = "/subscriptions/{s}/providers/Microsoft.Batch/locations/{l}"
_GROUP = "/subscriptions/{s}/resourceGroups/{g}"
_ACCOUNTS = "/providers/Microsoft.Batch/batchAccounts"
_ACCOUNT = f"{_GROUP}{_ACCOUNTS}/{{a}}"
_STORAGE = "Microsoft.Storage/storageAccounts"
_API_VERSION = "2025-06-01"


class ManagedAccount:
    """
    The resources of one account.

    :param key: the account's key.
    :param act: makes a request to the data plane of the account, for a caller who is authenticated here.
    """

    def __init__(
        self,
        facts: ManagementFacts,
        tenancy: ManagedTenancy,
        account: EmulatedAccount,
        key: str,
        act: Callable[[Call], Reply],
    ) -> None:
        self._facts = facts
        self._tenancy = tenancy
        self._key = key
        self._account = account
        self._name = account.options.account
        self._act_on_data_plane = act
        self._applications = ManagedApplications(account)
        self._resources = ManagedResources(account)
        self._tags: dict[tuple[str, datetime], Mapping[str, str]] = {}

    def answer(self, call: ArmCall) -> ArmAnswer:
        """
        Answer an authenticated request.

        :raises ArmError: Azure Resource Manager returns an error.
        :raises ServiceError: the Batch service returns an error.
        """
        for method, pattern, handler in _ROUTES:
            match = pattern.fullmatch(call.path)
            if match is not None and method == call.method:
                call = replace(call, values=match.groupdict())
                self._check(call.values)
                return handler(self, call)
        raise not_found(code="InvalidResourceType", what=f"The resource type of {call.method} {call.path}")

    def account(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of the account."""
        return ArmAnswer(200, self._account_view(call.now))

    def accounts(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of all accounts of the subscription, or of its resource group."""
        return ArmAnswer(200, {"value": [self._account_view(call.now)]})

    def keys(self, _call: ArmCall) -> ArmAnswer:
        """Answer POST for the keys of the account. It has one, which is shown as both."""
        if not self._account.options.shared_key:
            # Documented; the code is assumed.
            sentence = "The Batch account does not allow authentication by shared key."
            raise ArmError(409, "SharedKeyAuthenticationDisabled", sentence)
        return ArmAnswer(200, {"accountName": self._name, "primary": self._key, "secondary": self._key})

    def _account_view(self, now: datetime) -> dict[str, Any]:
        quotas = self._account.service.quotas
        limits = {
            "dedicatedCoreQuota": quotas.dedicated_cores,
            "lowPriorityCoreQuota": quotas.spot_cores,
            "poolQuota": quotas.pools,
            "activeJobAndJobScheduleQuota": quotas.active_jobs,
        }
        modes = (
            ["SharedKey", "AAD", "TaskAuthenticationToken"] if self._account.options.shared_key else ["AAD"]
        )
        storage = self._account.service.storage.facts.account
        properties = {
            "accountEndpoint": self._account.endpoint.removeprefix("https://"),
            "provisioningState": "Succeeded",
            "poolAllocationMode": "BatchService",
            "publicNetworkAccess": "Enabled",
            "privateEndpointConnections": [],
            "encryption": {"keySource": "Microsoft.Batch"},
            "allowedAuthenticationModes": modes,
            "autoStorage": {
                "storageAccountId": self._account.place.id_of(_STORAGE, storage),
                "lastKeySync": format_instant(now),
                "authenticationMode": "StorageKeys",
            },
            "dedicatedCoreQuotaPerVMFamily": [],
            "dedicatedCoreQuotaPerVMFamilyEnforced": False,
            **{name: limit for name, limit in limits.items() if limit is not None},
        }
        return {
            "id": self._id,
            "name": self._name,
            "location": self._facts.location,
            "type": "Microsoft.Batch/batchAccounts",
            "properties": properties,
            "identity": {"type": "None"},
        }

    def sizes(self, _call: ArmCall) -> ArmAnswer:
        """Answer GET of the VM sizes of a region. All regions have the same sizes."""
        return ArmAnswer(200, {"value": list(SIZES)})

    def put_pool(self, call: ArmCall) -> ArmAnswer:
        """Answer PUT of a pool."""
        pool_id = call.values["p"]
        if self._account.service.store.pools.get(pool_id) is not None:
            if call.headers.get("if-none-match") == "*":
                # Not documented. Assumed, as in HTTP.
                sentence = "The condition specified using HTTP conditional header(s) is not met."
                raise ArmError(412, "PreconditionFailed", sentence)
            raise ArmError(501, "NotImplemented", "The embedded service does not replace pools with PUT.")
        given = call.read()
        body = {"id": pool_id, **data_plane_properties(given.get("properties") or {})}
        self._act(call, "POST", "/pools", body)
        return self._changed(pool_id, given)

    def patch_pool(self, call: ArmCall) -> ArmAnswer:
        """Answer PATCH of a pool."""
        pool, given = self._pool(call.values["p"]), call.read()
        body = data_plane_properties(given.get("properties") or {})
        if body:
            self._act(call, "PATCH", f"/pools/{pool.id}", body)
        return self._changed(pool.id, given)

    def get_pool(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of a pool."""
        return self._shown(self._pool(call.values["p"]))

    def list_pools(self, _call: ArmCall) -> ArmAnswer:
        """Answer GET of all pools."""
        pools = self._account.service.store.pools.after("")
        return ArmAnswer(200, {"value": [self._view(pool) for _, pool in pools]})

    def delete_pool(self, call: ArmCall) -> ArmAnswer:
        """Answer DELETE of a pool with the URL of its operation result."""
        pool_id = call.values["p"]
        if self._account.service.store.pools.get(pool_id) is None:
            return ArmAnswer(204)
        self._act(call, "DELETE", f"/pools/{pool_id}")
        place = _BATCH.format(s=self._facts.subscription_id, l=self._facts.location)
        return self._under_way(f"{place}/poolOperationResults/delete-{pool_id}")

    def operation(self, call: ArmCall) -> ArmAnswer:
        """Answer GET of the operation result of a deletion: 202 until the pool is deleted."""
        is_gone = self._account.service.store.pools.get(call.values["p"]) is None
        return ArmAnswer(200) if is_gone else self._under_way(call.path)

    @property
    def _id(self) -> str:
        facts = self._facts
        return _ACCOUNT.format(s=facts.subscription_id, g=facts.resource_group, a=self._name)

    def _check(self, values: Mapping[str, str]) -> None:
        facts = self._facts
        if values.get("s", facts.subscription_id).lower() != facts.subscription_id.lower():
            raise not_found(code="SubscriptionNotFound", what=f"The subscription '{values['s']}'")
        if values.get("g", facts.resource_group).lower() != facts.resource_group.lower():
            raise not_found(code="ResourceGroupNotFound", what=f"Resource group '{values['g']}'")
        if values.get("a", self._name).lower() != self._name.lower():
            raise not_found(code="ResourceNotFound", what=f"Batch account '{values['a']}'")

    def _pool(self, pool_id: str) -> Pool:
        pool: Pool | None = self._account.service.store.pools.get(pool_id)
        if pool is None:
            raise not_found(code="PoolNotFound", what=f"Pool '{pool_id}'")
        return pool

    def _act(self, call: ArmCall, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        raw = b"" if body is None else json.dumps(body).encode()
        request = Call(
            method=method,
            path=path,
            base_url=self._account.endpoint,
            request_id=str(uuid4()),
            now=call.now,
            query={"api-version": _API_VERSION},
            headers={},
            body=raw,
        )
        self._act_on_data_plane(request)

    def _changed(self, pool_id: str, given: Mapping[str, Any]) -> ArmAnswer:
        pool = self._pool(pool_id)
        if "identity" in given:
            # The data plane shows the identities, too.
            spec = {**pool.spec, "identity": _shown_by_data_plane(given["identity"])}
            pool = self._account.service.store.put_pool(replace(pool, spec=spec))
        if "tags" in given:
            self._tags[pool.id, pool.created] = dict(given["tags"] or {})
        return self._shown(pool)

    def _under_way(self, path: str) -> ArmAnswer:
        location = f"{self._facts.url}{path}?api-version={_API_VERSION}"
        return ArmAnswer(202, None, {"location": location, "retry-after": "0"})

    def _shown(self, pool: Pool) -> ArmAnswer:
        return ArmAnswer(200, self._view(pool), {"etag": _etag(pool)})

    def _view(self, pool: Pool) -> dict[str, Any]:
        shown = as_of(NEWEST, "pools", pool_view(self._account.service.store, "", pool))
        view: dict[str, Any] = {
            "id": f"{self._id}/pools/{pool.id}",
            "name": pool.id,
            "type": "Microsoft.Batch/batchAccounts/pools",
            "etag": _etag(pool),
            "properties": management_properties(shown),
            "tags": self._tags.get((pool.id, pool.created), {}),
        }
        named = pool.spec.get("identity", {}).get("userAssignedIdentities", ())
        if named:
            identities = {
                entry["resourceId"]: {name: entry[name] for name in ("clientId", "principalId")}
                for entry in named
            }
            view["identity"] = {"type": "UserAssigned", "userAssignedIdentities": identities}
        return view


def _shown_by_data_plane(identity: Mapping[str, Any]) -> dict[str, Any]:
    named = list(identity.get("userAssignedIdentities") or {})
    if str(identity.get("type")).lower() == "none" or not named:
        return {"type": "None"}
    entries = [{"resourceId": name, "clientId": str(uuid4()), "principalId": str(uuid4())} for name in named]
    return {"type": "UserAssigned", "userAssignedIdentities": entries}


def _etag(pool: Pool) -> str:
    return f'W/"{pool.version.etag}"'


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), re.IGNORECASE)


def _of_applications(
    handler: Callable[[ManagedApplications, ArmCall], ArmAnswer],
) -> Callable[[ManagedAccount, ArmCall], ArmAnswer]:
    return lambda managed, call: handler(managed._applications, call)


def _of_resources(
    handler: Callable[[ManagedResources, ArmCall], ArmAnswer],
) -> Callable[[ManagedAccount, ArmCall], ArmAnswer]:
    return lambda managed, call: handler(managed._resources, call)


def _of_tenancy(
    handler: Callable[[ManagedTenancy, ArmCall], ArmAnswer],
) -> Callable[[ManagedAccount, ArmCall], ArmAnswer]:
    return lambda managed, call: handler(managed._tenancy, call)


_Handler = Callable[[ManagedAccount, ArmCall], ArmAnswer]

_ROUTES: tuple[tuple[str, re.Pattern[str], _Handler], ...] = (
    ("GET", _pattern(f"/subscriptions/{{s}}{_ACCOUNTS}"), ManagedAccount.accounts),
    ("GET", _pattern(_GROUP + _ACCOUNTS), ManagedAccount.accounts),
    ("GET", _pattern(_ACCOUNT), ManagedAccount.account),
    ("POST", _pattern(_ACCOUNT + "/listKeys"), ManagedAccount.keys),
    ("GET", _pattern(_BATCH + "/virtualMachineSkus"), ManagedAccount.sizes),
    ("GET", _pattern(_BATCH + "/poolOperationResults/delete-{p}"), ManagedAccount.operation),
    ("GET", _pattern(_ACCOUNT + "/pools"), ManagedAccount.list_pools),
    ("GET", _pattern(_ACCOUNT + "/pools/{p}"), ManagedAccount.get_pool),
    ("PUT", _pattern(_ACCOUNT + "/pools/{p}"), ManagedAccount.put_pool),
    ("PATCH", _pattern(_ACCOUNT + "/pools/{p}"), ManagedAccount.patch_pool),
    ("DELETE", _pattern(_ACCOUNT + "/pools/{p}"), ManagedAccount.delete_pool),
    *(
        (method, _pattern(_ACCOUNT + path), _of_applications(handler))
        for method, path, handler in APPLICATION_ROUTES
    ),
    *((method, _pattern(path), _of_tenancy(handler)) for method, path, handler in TENANCY_ROUTES),
    *((method, _pattern(path), _of_resources(handler)) for method, path, handler in RESOURCE_ROUTES),
)
