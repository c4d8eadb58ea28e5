"""What the Azure CLI reads first: the endpoints of its cloud, the tenant and the subscription."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_batchlinux.emulator.identity.tenant import LocalTenant
from airflow_provider_batchlinux.emulator.identity.tokens import BATCH_AUDIENCES
from airflow_provider_batchlinux.emulator.management.arm import ArmAnswer, ArmCall, ManagementFacts

_NAME = "batchlinux-emulator"


class ManagedTenancy:
    """
    The subscription of one account, and the tenant that it trusts.

    :param local: that tenant.
    """

    def __init__(self, facts: ManagementFacts, local: LocalTenant) -> None:
        self._facts = facts
        self._authority = local.authority
        self._tenant_id = local.tenant.id

    def endpoints(self) -> ArmAnswer:
        """Answer GET of the endpoints of this cloud, which ``az cloud register`` reads without a token."""
        body = {
            "name": _NAME,
            "resourceManager": self._facts.url,
            "batch": BATCH_AUDIENCES[0],
            "authentication": {
                "loginEndpoint": self._authority,
                "audiences": [f"{self._facts.url}/"],
                "tenant": self._tenant_id,
                "identityProvider": "AAD",
            },
            "suffixes": {"storage": "core.windows.net"},
        }
        return ArmAnswer(200, body)

    def tenants(self, _call: ArmCall) -> ArmAnswer:
        """Answer GET of the tenants that the caller belongs to."""
        tenant = {"id": f"/tenants/{self._tenant_id}", "tenantId": self._tenant_id, "displayName": _NAME}
        return ArmAnswer(200, {"value": [tenant]})

    def subscriptions(self, _call: ArmCall) -> ArmAnswer:
        """Answer GET of the subscriptions that the caller may see."""
        return ArmAnswer(200, {"value": [self._view()]})

    def subscription(self, _call: ArmCall) -> ArmAnswer:
        """Answer GET of the subscription."""
        return ArmAnswer(200, self._view())

    def _view(self) -> dict[str, Any]:
        subscription_id = self._facts.subscription_id
        return {
            "id": f"/subscriptions/{subscription_id}",
            "subscriptionId": subscription_id,
            "tenantId": self._tenant_id,
            "displayName": _NAME,
            "state": "Enabled",
        }


_Handler = Callable[[ManagedTenancy, ArmCall], ArmAnswer]

ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", "/tenants", ManagedTenancy.tenants),
    ("GET", "/subscriptions", ManagedTenancy.subscriptions),
    ("GET", "/subscriptions/{s}", ManagedTenancy.subscription),
)
"""Methods, paths, and what answers them."""
