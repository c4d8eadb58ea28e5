"""``batchlinux sweep``: find and remove what has expired on an account."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import (
    add_verb,
    hook_and_settings,
    storage_of_connections,
)
from airflow_provider_batchlinux.cli.terminal.output import (
    add_json,
    add_yes,
    print_json,
    print_table,
    require_consent,
    say,
)
from airflow_provider_batchlinux.core.text import counted, joined

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.sweep.plan import SweepPlan, SweepRules

_HEADER = ("WHAT", "NAME", "POOL", "NODES", "WHY")
_DESCRIPTION = """\
List what has expired on the account: pools whose expires_in is over, their jobs, users whose time is over,
and users whose removal a node could not be asked for. With --delete, remove it. Only what an Airflow with one
of the given ids has created is considered. Whether the Dag run of a pool without an expiry has ended is known
to Airflow alone: such pools and their jobs are left to BatchLinuxSweepPoolsOperator."""


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_verb(
        commands, "sweep", _run, "list what has expired on the account, or delete it", add_json, add_yes,
        description=_DESCRIPTION,
    )  # fmt: skip
    parser.add_argument(
        "--installation", metavar="ID", action="append", default=[],
        help="the id of the Airflow; may be repeated; default: [batch_linux] installation_id",
    )  # fmt: skip
    parser.add_argument("--delete", action="store_true", help="delete it; default: only list it")
    parser.add_argument(
        "--idle-after", metavar="HOURS", type=float, help="also list pools that have been idle for this time"
    )


def _run(options: Namespace) -> int:
    from airflow_provider_batchlinux.client.sweep.plan import Swept, carry_out, plan_sweep

    hook, settings = hook_and_settings(options)
    with hook.session(settings) as session:
        now = datetime.now(timezone.utc)
        rules = _rules(options)
        plan = session.run(lambda client: plan_sweep(client, rules, now))
        if not rules.installations:
            found = joined(list(plan.others)) or "no Airflow"
            msg = f"Pass --installation with the id of your Airflow. The account has pools of {found}."
            raise ValueError(msg)
        due = len(plan.pools) + len(plan.jobs) + len(plan.users)
        swept = Swept()
        if options.delete and due:
            what = {"pool": len(plan.pools), "job": len(plan.jobs), "user": len(plan.users)}
            asked = ", ".join(counted(number, noun) for noun, number in what.items())
            require_consent(options, f"Remove {asked}?")
            swept = session.run(lambda client: carry_out(client, plan, storage_of_connections()))
    if options.json:
        print_json(swept.to_result(plan))
    else:
        print_table(_HEADER, _rows(plan))
        removed = len(swept.pools) + len(swept.jobs) + sum(user.is_done for user in swept.users)
        say(f"{due} found, {removed} removed." if options.delete else f"{due} found. --delete removes them.")
    swept.require_all()
    return 0


def _rules(options: Namespace) -> SweepRules:
    from airflow_provider_batchlinux.client.sweep.plan import SweepRules
    from airflow_provider_batchlinux.hooks._installation import configured_id

    own = options.installation or list(filter(None, [configured_id()]))
    idle_after = None if options.idle_after is None else options.idle_after * 3600
    return SweepRules(frozenset(own), lambda _run: False, ended_runs=False, idle_after=idle_after)


def _rows(plan: SweepPlan) -> list[tuple[object, ...]]:
    pools = [("pool", s.pool.pool_id, s.pool.pool_id, s.pool.nodes, s.reason) for s in plan.pools]
    jobs = [("job", s.job.job_id, s.job.pool_id, None, s.reason) for s in plan.jobs]
    users = [("user", u.user.entry.username, u.user.pool_id, None, u.reason) for u in plan.users]
    idle = [("idle pool", p.pool_id, p.pool_id, p.nodes, "idle; not deleted") for p in plan.idle or ()]
    return [*pools, *jobs, *users, *idle]
