"""``batchlinux prices``: what nodes cost by Azure's public price list."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.account import add_account_options, hook_and_settings
from airflow_provider_batchlinux.core.text import table

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.core.vm_sizes.prices import NodePrices

__all__ = ["add_command"]

_HEADER = ("VM SIZE", "REGION", "DEDICATED", "SPOT", "AN HOUR IN")
_CURRENCY = "USD"


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "prices",
        help="tell what nodes cost by Azure's public price list",
        description="Tell what an hour of one Linux node costs by Azure's public price list: its machine"
        " alone, without disks, addresses, traffic and discounts. The list is asked without any credential.",
    )
    parser.add_argument("vm_size", nargs="+", help="such as standard_d2s_v5")
    parser.add_argument("--region", help="such as westeurope; else the account's own")
    parser.add_argument("--currency", help="such as EUR; else the connection's, or USD")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_account_options(parser)
    parser.set_defaults(command=_run)


def _run(options: Namespace) -> int:
    from airflow_provider_batchlinux.client.pools.prices import find_prices

    hook, settings = hook_and_settings(options)
    currency = (options.currency or settings.prices or _CURRENCY).upper()
    asking = replace(settings, prices=currency, region=options.region or settings.region)

    async def story(_client: BatchLinuxClient) -> list[NodePrices | None]:
        return [await find_prices(asking, size) for size in options.vm_size]

    found = hook.run(story, settings=settings)
    known = [prices for prices in found if prices is not None]
    if options.json:
        rows = [{"vm_size": each.vm_size, "region": each.region, **each.to_dict()} for each in known]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        sys.stdout.write(table(_HEADER, [_cells(each) for each in known]) + "\n")
    is_priced = [each is not None and not (each.dedicated is None and each.spot is None) for each in found]
    return 0 if all(is_priced) else 1


def _cells(prices: NodePrices) -> tuple[str, ...]:
    each = ("-" if price is None else f"{price:g}" for price in (prices.dedicated, prices.spot))
    return (prices.vm_size, prices.region, *each, prices.currency)
