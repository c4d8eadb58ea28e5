"""``batchlinux prices``: the prices of nodes in Azure's public price list."""

from __future__ import annotations

import asyncio
import json
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_account_options, hook_and_settings
from airflow_provider_batchlinux.cli.terminal.output import add_json, print_list, say
from airflow_provider_batchlinux.core.text import counted

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
        " machine, without disks, addresses, traffic and discounts. No credential is sent to the list."
        " The page Batch pools shows the prices in the file that [batch_linux] ui_prices_file names.",
    )
    parser.add_argument("vm_size", metavar="VM_SIZE", nargs="+", help="such as standard_d2s_v5")
    parser.add_argument("--region", help="such as westeurope; default: the region in the account's URL")
    parser.add_argument("--currency", default="USD", help="such as EUR; default: USD")
    parser.add_argument("--price-list", metavar="URL", help="a mirror of Azure's price list")
    parser.add_argument(
        "--write",
        metavar="FILE",
        type=Path,
        help="also put the prices into this file, beside others that it has",
    )
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
    print_list(options, known, _HEADER, _cells, _row)
    if options.write is not None:
        _write(options.write, [_row(prices) for prices in known])
    is_priced = [each is not None and not (each.dedicated is None and each.spot is None) for each in found]
    return 0 if all(is_priced) else 1


def _row(prices: NodePrices) -> dict[str, Any]:
    return {"vm_size": prices.vm_size, "region": prices.region, **prices.to_dict()}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Put prices into a file, in place of earlier ones. A reader finds the old file or the new one."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        kept = {_key(row): row for row in before}
    except FileNotFoundError:
        kept = {}
    except (ValueError, TypeError, LookupError) as error:
        msg = f"{path} is not a file of prices: {error}. Nothing was written."
        raise ValueError(msg) from None
    kept |= {_key(row): row for row in rows}
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(json.dumps(list(kept.values()), indent=2) + "\n", encoding="utf-8")
    os.replace(aside, path)
    say(f"{path} has {counted(len(kept), 'price')}.")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return (row["region"].lower(), row["vm_size"].lower())


def _cells(prices: NodePrices) -> tuple[str, ...]:
    each = ("-" if price is None else f"{price:g}" for price in (prices.dedicated, prices.spot))
    return (prices.vm_size, prices.region, *each, prices.currency)
