"""``batchlinux pools``: list, show, delete and resize pools."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import add_verb, on_account
from airflow_provider_batchlinux.cli.terminal.output import (
    NothingDoneError,
    add_json,
    add_yes,
    age,
    batch_id,
    print_item,
    print_list,
    require_consent,
    say,
    time_left,
)
from airflow_provider_batchlinux.cli.terminal.waiting import add_waiting, wait_here
from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.pools.summary import SUMMARY_FIELDS, pool_summary
from airflow_provider_batchlinux.core.text import counted, joined

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient

_HEADER = ("POOL", "STATE", "DEDICATED", "SPOT", "NODES", "VM SIZE", "DAG", "AGE", "EXPIRES IN", "ERRORS")
_WAIT_LIMIT = 1800.0


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    verbs = commands.add_parser("pools", help="list, show, delete and resize pools").add_subparsers(
        metavar="VERB", required=True
    )
    add_verb(verbs, "list", _list, "list the pools of the account", add_json)
    show = add_verb(verbs, "show", _show, "show a pool: nodes, owner, expiry, users, errors", add_json)
    show.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
    delete = add_verb(verbs, "delete", _delete, "delete pools with all their nodes", add_yes)
    delete.add_argument("pools", metavar="POOL", type=batch_id, nargs="+", help="the pool's id")
    add_waiting(delete, _WAIT_LIMIT)
    resize = add_verb(verbs, "resize", _resize, "change the numbers of nodes of a pool", add_yes)
    resize.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
    resize.add_argument("--dedicated", metavar="NUMBER", type=int, help="dedicated nodes; default: as now")
    resize.add_argument("--spot", metavar="NUMBER", type=int, help="Spot nodes; default: as now")
    resize.add_argument(
        "--running-tasks", choices=("requeue", "terminate", "taskcompletion"), default="requeue",
        help="what happens to tasks on nodes that are removed (default: requeue)",
    )  # fmt: skip
    add_waiting(resize, _WAIT_LIMIT)


def _list(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> list[dict[str, Any]]:
        bodies = await client.list_pools(SUMMARY_FIELDS)
        counts = {pool_id.lower(): states for pool_id, states in (await client.all_node_counts()).items()}
        return [pool_summary(body, counts.get(str(body["id"]).lower(), {})) for body in bodies]

    return print_list(options, on_account(options, work), _HEADER, _cells)


def _show(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> dict[str, Any]:
        body = await client.find_pool_body(options.pool, SUMMARY_FIELDS)
        if body is None:
            msg = f"Pool {options.pool!r} does not exist."
            raise ValueError(msg)
        return pool_summary(body, await client.node_counts(options.pool))

    pool = on_account(options, work)
    return print_item(options, pool, _facts(pool))


def _delete(options: Namespace) -> int:
    async def find(client: BatchLinuxClient) -> list[dict[str, Any]]:
        bodies = [await client.find_pool_body(pool_id, SUMMARY_FIELDS) for pool_id in options.pools]
        missing = [name for name, body in zip(options.pools, bodies, strict=True) if body is None]
        if missing:
            msg = f"Nothing was deleted: the account has no pool {joined(missing)}."
            raise NothingDoneError(msg)
        return [pool_summary(body, {}) for body in bodies if body is not None]

    found = on_account(options, find)
    require_consent(options, f"Delete {'; '.join(_stake(pool) for pool in found)}?")

    async def delete(client: BatchLinuxClient) -> None:
        from airflow_provider_batchlinux.client.pools.steady import PoolGoneWait

        for pool_id in options.pools:
            if not await client.delete_pool(pool_id):
                say(f"Pool {pool_id!r} was deleted in the meantime.")
        for pool_id in options.pools if options.waits else ():
            await wait_here(options, PoolGoneWait(client, pool_id), f"Deleting pool {pool_id!r}.")

    on_account(options, delete)
    if not options.waits:
        say(f"Being deleted: {joined(options.pools)}.")
    return 0


def _resize(options: Namespace) -> int:
    from airflow_provider_batchlinux.core.pools.changes.resize import ResizeSpec

    spec = ResizeSpec(options.dedicated, options.spot, running_tasks=options.running_tasks)
    if options.dedicated is None and options.spot is None:
        msg = "Pass --dedicated or --spot, or both."
        raise ValueError(msg)
    if min(options.dedicated or 0, options.spot or 0) < 0:
        msg = "A number of nodes is 0 or more."
        raise ValueError(msg)

    pool = on_account(options, lambda client: client.find_pool(options.pool))
    if pool is not None:
        dedicated, spot = spec.targets(pool)
        lost = max(0, pool.current_dedicated - dedicated) + max(0, pool.current_spot - spot)
        if lost:
            question = f"Remove {counted(lost, 'node')} of pool {options.pool!r}?"
            require_consent(options, question)

    async def resize(client: BatchLinuxClient) -> bool:
        from airflow_provider_batchlinux.client.pools.resize import ResizeWait

        wait = ResizeWait(client, options.pool, spec, until_over=options.waits)
        await wait_here(options, wait, f"Resizing pool {options.pool!r}.")
        return wait.request.asked

    if not on_account(options, resize):
        msg = f"Nothing was done: pool {options.pool!r} has these numbers of nodes already."
        raise NothingDoneError(msg)
    return 0


def _cells(pool: Mapping[str, Any]) -> tuple[object, ...]:
    state = pool["state"] if pool["state"] != "active" else pool["allocation_state"]
    return (
        pool["pool_id"],
        state,
        _of(pool["dedicated"]),
        _of(pool["spot"]),
        _states(pool),
        pool["vm_size"],
        pool["owner"].get("dag_id"),
        age(parse_instant(pool["created_at"])),
        _ends(pool),
        len(pool["errors"]) or None,
    )


def _facts(pool: Mapping[str, Any]) -> dict[str, object]:
    owner = ", ".join(f"{name} {value!r}" for name, value in pool["owner"].items())
    return {
        "pool": pool["pool_id"],
        "state": f"{pool['state']}, {pool['allocation_state']}",
        "VM size": pool["vm_size"],
        "image": f"{pool['image']} ({pool['node_agent_sku']})",
        "dedicated": _of(pool["dedicated"]),
        "Spot": _of(pool["spot"]),
        "autoscale": pool["autoscale"],
        "nodes": _states(pool),
        "created": f"{pool['created_at']} ({age(parse_instant(pool['created_at']))} ago)",
        "expires": f"{pool['expires_at']} ({_ends(pool)})" if pool["expires_at"] else None,
        "kept since": pool["kept_since"],
        "created by": owner or "not by this provider",
        "used by": [f"run {run['run_id']!r} of Dag {run['dag_id']!r}" for run in pool["runs"]],
        "users": pool["users"],
        "errors": pool["errors"],
    }


def _of(size: Mapping[str, int]) -> str:
    return f"{size['current']} of {size['target']}"


def _states(pool: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {state}" for state, count in pool["nodes"].items())


def _ends(pool: Mapping[str, Any]) -> str:
    return time_left(parse_instant(pool["expires_at"]))


def _stake(pool: Mapping[str, Any]) -> str:
    """Return what is lost with a pool, as a part of the question."""
    nodes = counted(pool["dedicated"]["current"] + pool["spot"]["current"], "node")
    runs = [f"run {run['run_id']!r} of Dag {run['dag_id']!r}" for run in pool["runs"]]
    users = f", used by {' and '.join(runs)}" if runs else ""
    return f"pool {pool['pool_id']!r} ({nodes}{users})"
