"""Wait at a terminal for what the service was asked to do."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.output import progress, say

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.waits.loop import Wait

_INTERVAL = 5.0
# A person waits at the screen, so that the first polls are closer than those of a task.
SOONEST = 1.0


def add_waiting(parser: ArgumentParser, limit: float) -> None:
    """
    Add the options of a command that waits.

    :param limit: seconds to wait at most, by default.
    """
    parser.add_argument(
        "--no-wait",
        dest="waits",
        action="store_false",
        help="return when the service has accepted the request",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=limit,
        help=f"the longest wait (default: {limit:g})",
    )


async def wait_here(options: Namespace, wait: Wait, what: str) -> dict[str, Any]:
    """
    Wait, show the status meanwhile and at the end, and return the result.

    :param what: what is waited for, until the first status.
    :raises WaitTimeoutError: if it takes longer than ``--timeout``; what the service does goes on.
    """
    from airflow_provider_batchlinux.client.waits.loop import WaitSchedule, wait_for

    pace = WaitSchedule(_INTERVAL, deadline=time.time() + options.timeout, soonest=SOONEST)
    with progress(what) as is_lasting:
        result = await wait_for(wait, pace)
    if not is_lasting:
        say(wait.status)
    return result
