"""``batchlinux prices``: the prices of nodes in Azure's public price list."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_account_options, hook_and_settings
from airflow_provider_batchlinux.cli.terminal.output import add_json, print_list

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices

_HEADER = ("VM SIZE", "REGION", "DEDICATED", "SPOT", "PER HOUR IN")


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "prices",
        help="show the prices of nodes in Azure's public price list",
        description="Show the price per hour of one Linux node in Azure's public price list: only the"
        " machine, without disks, addresses, traffic and discounts. No credential is sent to the list.",
    )
    parser.add_argument("vm_size", nargs="+", help="such as standard_d2s_v5")
    parser.add_argument("--region", help="such as westeurope; default: the region in the account's URL")
    parser.add_argument("--currency", default="USD", help="such as EUR; default: USD")
    parser.add_argument("--price-list", metavar="URL", help="a mirror of Azure's price list")
    add_json(parser)
    add_account_options(parser)
    parser.set_defaults(command=_run)


def _run(options: Namespace) -> int:
    from airflow_provider_batchlinux.client.pools.prices import PRICE_LIST, find_prices

    hook, settings = hook_and_settings(options)
    region, currency = options.region or settings.region, options.currency.upper()
    if region is None:
        msg = "The account's URL does not contain a region; pass --region, such as --region westeurope."
        raise ValueError(msg)
    url = options.price_list or PRICE_LIST

    async def work(_client: BatchLinuxClient) -> list[NodePrices | None]:
        each = (
            find_prices(settings, size, region=region, currency=currency, url=url) for size in options.vm_size
        )
        return list(await asyncio.gather(*each))

    found = hook.run(work, settings=settings)
    known = [prices for prices in found if prices is not None]
    print_list(
        options,
        known,
        _HEADER,
        _cells,
        lambda each: {"vm_size": each.vm_size, "region": each.region, **each.to_dict()},
    )
    is_priced = [each is not None and not (each.dedicated is None and each.spot is None) for each in found]
    return 0 if all(is_priced) else 1


def _cells(prices: NodePrices) -> tuple[str, ...]:
    each = ("-" if price is None else f"{price:g}" for price in (prices.dedicated, prices.spot))
    return (prices.vm_size, prices.region, *each, prices.currency)
