"""The ids of resources of Azure Resource Manager, and where the account is among them."""

from __future__ import annotations

import re
from dataclasses import dataclass

APPLICATION = "Microsoft.Batch/batchAccounts/applications"
NETWORK = "Microsoft.Network/virtualNetworks"
SUBNET = f"{NETWORK}/subnets"
SECURITY_GROUP = "Microsoft.Network/networkSecurityGroups"
PUBLIC_ADDRESS = "Microsoft.Network/publicIPAddresses"
MANAGED_IMAGE = "Microsoft.Compute/images"
GALLERY = "Microsoft.Compute/galleries"
GALLERY_IMAGE = f"{GALLERY}/images"
GALLERY_VERSION = f"{GALLERY_IMAGE}/versions"
_ID = re.compile(
    "/subscriptions/[^/]+/resourceGroups/[^/]+/providers/([^/]+)((?:/[^/]+/[^/]+)+)", re.IGNORECASE
)


def kind_of(resource_id: str) -> str:
    """Return the type of the resource with an id, in lower case; empty if it is not an id."""
    found = _ID.fullmatch(resource_id)
    return "" if found is None else "/".join([found[1], *found[2].split("/")[1::2]]).lower()


@dataclass(frozen=True)
class AccountPlace:
    """
    Where the account is.

    :param location: its region.
    """

    account: str
    subscription_id: str
    resource_group: str = "batchlinux"
    location: str = "westeurope"

    def id_of(self, kind: str, *names: str) -> str:
        """
        Return the id of a resource in the resource group of the account.

        :param kind: its type, such as ``Microsoft.Network/virtualNetworks/subnets``.
        :param names: a name for each part of the type after the provider.
        """
        provider, *types = kind.split("/")
        parts = [f"{type_}/{name}" for type_, name in zip(types, names, strict=True)]
        group = f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
        return "/".join([group, "providers", provider, *parts])

    def application_id(self, name: str) -> str:
        """Return the id of an application of the account."""
        return self.id_of(APPLICATION, self.account, name)
