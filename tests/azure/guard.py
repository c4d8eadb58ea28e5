"""
The guard of a run on a real account: a process of its own that keeps the limits, and empties the account.

It reads its standard input: the id of each process group that the run starts, one a line. When the input
ends, because the run is over or was killed, in whatever way, the guard ends those groups and deletes every
pool, job and job schedule of the account. So the clean-up has one path, and Ctrl-C or a closed terminal does
not stop it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator

from azure.core.exceptions import AzureError

from tests.contract.azure_account import ContractAccount, account_from, check_empty, make_empty

CLEAN_UP = 1800.0
"""Seconds in which the account has to be empty."""
STEP = 5.0
"""Seconds between two looks at the number of nodes at most."""


def main() -> int:
    """Guard the account that the environment names; the arguments are the limits of nodes and of seconds."""
    most_nodes, seconds = int(sys.argv[1]), float(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    account = account_from(os.environ)
    groups: set[int] = set()
    deadline = time.monotonic() + seconds
    reason: str | None = None
    for lines in _lines(min(account.pause or STEP, STEP)):
        groups |= {int(line) for line in lines}
        if reason is None and (reason := _exceeded(account, most_nodes, deadline)):
            print(reason, flush=True)
        if reason is not None:
            # Also what the run starts before it has noticed.
            _end(groups)
    _end(groups)
    left = _emptied(account)
    print(f"still in the account: {left}" if left else "the account is empty", flush=True)
    return 1 if left else 0


def _lines(pause: float) -> Iterator[list[str]]:
    """Yield the lines that have come since the last time, after a pause at most; end with the input."""
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            lines: list[str] = []
            if selector.select(pause):
                content = os.read(sys.stdin.fileno(), 4096)
                if not content:
                    return
                lines = content.decode().split()
            yield lines


def _exceeded(account: ContractAccount, most_nodes: int, deadline: float) -> str | None:
    """Return which limit is exceeded."""
    if time.monotonic() > deadline:
        return "the time is over: what still ran was ended"
    try:
        with account.client() as client:
            pools = list(client.list_pools(select=["id,targetDedicatedNodes,targetLowPriorityNodes"]))
    except AzureError:
        return None
    nodes = sum((pool.target_dedicated_nodes or 0) + (pool.target_low_priority_nodes or 0) for pool in pools)
    if nodes <= most_nodes:
        return None
    return f"{nodes} nodes are more than the {most_nodes} that are allowed: what asked for them was ended"


def _end(groups: set[int]) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def _emptied(account: ContractAccount) -> str:
    """Delete everything, again if the service refuses; return what is left when the time for it is over."""
    deadline = time.monotonic() + CLEAN_UP
    while True:
        try:
            make_empty(account)
            check_empty(account)
        except (AzureError, ValueError, TimeoutError, AssertionError) as error:
            if time.monotonic() > deadline:
                return str(error)
            account.rest()
        else:
            return ""


if __name__ == "__main__":
    sys.exit(main())
