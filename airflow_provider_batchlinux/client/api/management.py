"""Operations of the management plane: VM sizes, quotas, identities and tags of pools."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.core import AsyncPipelineClient
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, RequestIdPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest

from airflow_provider_batchlinux.client.transport.account import AccountSettings
from airflow_provider_batchlinux.client.transport.errors import error_code
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.client.transport.session import open_pipeline
from airflow_provider_batchlinux.core.pools.preflight import Limits, Region, Subnet, network_of, subnet_in
from airflow_provider_batchlinux.core.pools.spec.management import management_body, pool_identity
from airflow_provider_batchlinux.core.vm_sizes.sizes import VmSize
from airflow_provider_batchlinux.exceptions import BatchConflictError

if TYPE_CHECKING:
    from azure.mgmt.batch.aio import BatchManagementClient

log = logging.getLogger(__name__)

PUBLIC_CLOUD = "https://management.azure.com"
API_VERSION = "2025-06-01"
"""The version for all releases of azure-mgmt-batch: the default of release 18 lacks properties."""

NETWORK_API_VERSION = "2023-11-01"
"""The version of Microsoft.Network, which counts the addresses of subnets."""

_CREATE_ONLY = {"If-None-Match": "*"}
# The management plane refuses by status, where the data plane has an error code.
_PRECONDITION_FAILED = 412
_NO_ACCOUNT = ("ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound", "ParentResourceNotFound")
_INSTALL = "azure-mgmt-batch is not installed: pip install 'airflow-provider-batchlinux[mgmt]'"


@dataclass(frozen=True)
class ManagedParts:
    """
    The properties of a pool that only the management plane sets.

    :param identities: ARM ids of its identities.
    :param tags: names and values.
    """

    identities: tuple[str, ...]
    tags: Mapping[str, str]


@asynccontextmanager
async def open_management(
    settings: AccountSettings, retry: RetryPolicy | None = None
) -> AsyncIterator[ManagementClient]:
    """
    Open a client of an account's management plane, and close its connections at the end.

    :param settings: the account and the identity.
    :param retry: the retry policy; ``None`` uses the retry budget of the settings.
    :raises ValueError: the connection lacks settings, or the extra is not installed; no request was sent.
    """
    if gaps := settings.management_gaps():
        msg = f"The management plane is out of reach: the connection lacks {', '.join(gaps)}."
        raise ValueError(msg)
    try:
        from azure.mgmt.batch.aio import BatchManagementClient
    except ImportError as error:
        msg = f"The management plane is out of reach: {_INSTALL}."
        raise ValueError(msg) from error
    url = settings.management_url or PUBLIC_CLOUD
    async with open_pipeline(settings) as (credential, options):
        sdk = BatchManagementClient(
            credential,
            settings.subscription_id or "",
            url,
            api_version=API_VERSION,
            credential_scopes=[f"{url}/.default"],
            **options,
        )
        async with sdk:
            retry = retry or RetryPolicy(budget=settings.retry_budget)
            policies = [RequestIdPolicy(), AsyncBearerTokenCredentialPolicy(credential, f"{url}/.default")]
            arm: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncPipelineClient(
                url, policies=policies, transport=options["transport"]
            )
            yield ManagementClient(sdk, settings, retry, arm)


@asynccontextmanager
async def management_for(
    settings: AccountSettings, *, required: bool, preflight: bool | None
) -> AsyncIterator[ManagementClient | None]:
    """
    Open the management plane if it is required, or wanted and configured; otherwise return ``None``.

    :param required: the pool cannot be created without it.
    :param preflight: it is wanted to check VM size and quotas before a create; ``None`` wants it if the
        connection has the settings for it.
    :raises ValueError: it is required, and the connection lacks settings for it.
    """
    wanted = not settings.management_gaps() if preflight is None else preflight
    async with AsyncExitStack() as stack:
        plane = None
        if required or wanted:
            try:
                plane = await stack.enter_async_context(open_management(settings))
            except ValueError as error:
                if required:
                    raise
                level = logging.WARNING if preflight else logging.INFO
                log.log(level, "VM size and quotas are not checked before the pool is created: %s", error)
        yield plane


class ManagementClient:
    """
    The operations of the management plane that this provider uses.

    :param sdk: the SDK's open client.
    :param settings: the account.
    :param retry: the retry policy.
    :param arm: a client of Azure Resource Manager, for resources of other services.
    """

    def __init__(
        self,
        sdk: BatchManagementClient,
        settings: AccountSettings,
        retry: RetryPolicy,
        arm: AsyncPipelineClient[HttpRequest, AsyncHttpResponse],
    ) -> None:
        self.sdk = sdk
        self.arm = arm
        self.settings = settings
        self.retry = retry
        self._account = (settings.resource_group or "", settings.account_name)

    async def region(self) -> Region:
        """Get the region of the account, its quotas there, and the VM sizes of the region."""
        account: Any = await self.retry.run(
            f"get Batch account {self._account[1]!r}", lambda: self.sdk.batch_account.get(*self._account)
        )
        return Region(account.location, _limits(account), await self.vm_sizes(account.location))

    async def vm_sizes(self, location: str) -> list[VmSize]:
        """
        List the VM sizes that Batch offers in a region.

        :param location: the region, such as ``westeurope``.
        """

        async def every_page() -> list[VmSize]:
            found = []
            skus: Any = self.sdk.location.list_supported_virtual_machine_skus(location)
            async for sku in skus:
                traits = {item.name: str(item.value) for item in sku.capabilities or ()}
                found.append(VmSize.of(sku.name, sku.family_name, traits, sku.batch_support_end_of_life))
            return found

        return await self.retry.run(f"list the VM sizes of {location!r}", every_page)

    async def find_subnet(self, subnet_id: str) -> Subnet | None:
        """
        Get how many addresses a subnet has and how many are in use; ``None`` if the subnet does not exist.

        Requires the permission ``Microsoft.Network/virtualNetworks/usages/read``.

        :raises BatchLinuxError: the network does not exist or must not be read.
        """
        network = network_of(subnet_id)
        if network is None:
            return None
        url = f"{self.settings.management_url or PUBLIC_CLOUD}{network}/usages"
        request = HttpRequest("GET", url, params={"api-version": NETWORK_API_VERSION})

        async def attempt() -> Any:
            answer = await self.arm.send_request(request)
            answer.raise_for_status()
            return answer.json()

        usages: Any = await self.retry.run(f"read the addresses of subnet {subnet_id!r}", attempt)
        return subnet_in(usages.get("value") or (), subnet_id)

    async def create_pool(
        self,
        body: Mapping[str, Any],
        *,
        identities: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """
        Create a pool; an existing pool with this id is left unchanged.

        :param body: the body that would create it through the data plane.
        :raises BatchConflictError: a pool with this id exists or is being deleted.
        """
        whole = _encoded(management_body(body, identities=identities, tags=tags))
        pool_id = body["id"]

        async def attempt() -> None:
            try:
                await self.sdk.pool.create(*self._account, pool_id, whole, headers=_CREATE_ONLY)
            except HttpResponseError as error:
                if error.status_code != _PRECONDITION_FAILED:
                    raise
                # Not documented; assumed that "If-None-Match: *" is answered as HTTP says.
                msg = f"Could not create pool {pool_id!r}: it exists ({error_code(error)})."
                raise BatchConflictError(msg, code="PoolExists", status=_PRECONDITION_FAILED) from error

        await self.retry.run(f"create pool {pool_id!r}", attempt)

    async def find_managed_parts(self, pool_id: str) -> ManagedParts | None:
        """Get a pool's identities and tags; ``None`` if the pool does not exist."""

        async def attempt() -> Any:
            try:
                return await self.sdk.pool.get(*self._account, pool_id)
            except ResourceNotFoundError as error:
                if error_code(error) in _NO_ACCOUNT:
                    raise
                return None

        pool: Any = await self.retry.run(f"get pool {pool_id!r}", attempt)
        if pool is None:
            return None
        identities = getattr(pool.identity, "user_assigned_identities", None) or {}
        return ManagedParts(tuple(identities), dict(pool.tags or {}))

    async def update_pool(
        self,
        pool_id: str,
        *,
        identities: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """
        Change identities or tags; existing nodes keep their identities.

        :param identities: all ARM ids to set; ``None`` keeps the present ones.
        :param tags: all tags to set; ``None`` keeps the present ones.
        """
        changes: dict[str, Any] = {}
        if identities is not None:
            changes["identity"] = pool_identity(identities)
        if tags is not None:
            changes["tags"] = dict(tags)
        await self.retry.run(
            f"update pool {pool_id!r}",
            lambda: self.sdk.pool.update(*self._account, pool_id, _encoded(changes)),
        )


def _encoded(body: Mapping[str, Any]) -> Any:
    # As bytes, which both releases of the SDK send unchanged (although they declare only file types). The
    # models of the older one would drop properties that they do not know.
    return json.dumps(body).encode()


def _limits(account: Any) -> Limits:
    per_family = account.dedicated_core_quota_per_vm_family or ()
    is_enforced = account.dedicated_core_quota_per_vm_family_enforced
    return Limits(
        account.dedicated_core_quota,
        account.low_priority_core_quota,
        account.pool_quota,
        {item.name: item.core_quota for item in per_family} if is_enforced else {},
    )
