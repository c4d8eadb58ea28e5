"""``batchlinux nodes``: list and show nodes, act on them, and read their logs."""

from __future__ import annotations

from argparse import Namespace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.cli.terminal.account import (
    add_verb,
    on_account,
    storage_of_connections,
)
from airflow_provider_batchlinux.cli.terminal.following import add_following, files_of, print_files
from airflow_provider_batchlinux.cli.terminal.output import (
    NothingDoneError,
    add_json,
    add_yes,
    age,
    batch_id,
    duration,
    print_item,
    print_json,
    print_list,
    print_table,
    require_consent,
    say,
)
from airflow_provider_batchlinux.cli.terminal.waiting import add_waiting, wait_here
from airflow_provider_batchlinux.core.instants import parse_instant
from airflow_provider_batchlinux.core.node_states import (
    BOOTING_STATES,
    BROKEN_STATES,
    NODE_STATES,
    READY_STATES,
)
from airflow_provider_batchlinux.core.nodes.actions import NodeAction, NodeChoice
from airflow_provider_batchlinux.core.nodes.logs import LogRequest
from airflow_provider_batchlinux.core.nodes.summary import node_summary, tasks_on
from airflow_provider_batchlinux.core.snapshots import NodeSnapshot
from airflow_provider_batchlinux.core.text import counted, joined

if TYPE_CHECKING:
    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient

_HEADER = ("NODE", "STATE", "FOR", "KIND", "TASKS", "PRIVATE ADDRESS", "SSH", "CAUSE")
_WAIT_LIMIT = 3600.0
_ABOUT: dict[NodeAction, str] = {
    "reboot": "reboot nodes; their files stay, and the start task runs again",
    "reimage": "reinstall nodes; their files and users are lost",
    "deallocate": "deallocate the machines of nodes, and keep the nodes",
    "start": "start deallocated nodes",
}
_START_TASK = "start task"


def add_command(commands: Any) -> None:
    """Add the command to the parser's commands."""
    verbs = commands.add_parser("nodes", help="list, show, reboot nodes; read their logs").add_subparsers(
        metavar="VERB", required=True
    )
    listed = add_verb(verbs, "list", _list, "list the nodes of a pool", add_json)
    listed.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
    listed.add_argument(
        "--state", choices=sorted(NODE_STATES), metavar="STATE", help="only nodes in this state"
    )
    show = add_verb(verbs, "show", _show, "show a node: addresses, start task, errors, tasks", add_json)
    log = add_verb(verbs, "log", _log, "print the output of a node's start task, or another of its files")
    log.add_argument(
        "--file", metavar="PATH",
        help="this file of the node instead, such as startup/wd/setup.log",
    )  # fmt: skip
    add_following(log)
    for parser in (show, log):
        parser.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
        parser.add_argument("node", metavar="NODE", type=batch_id, help="the node's id")
    logs = add_verb(verbs, "upload-logs", _upload_logs, "upload the logs of node agents to storage", add_json)
    logs.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
    logs.add_argument(
        "nodes", metavar="NODE", type=batch_id, nargs="*", help="the node's id; default: all broken nodes"
    )
    logs.add_argument("--to", metavar="CONTAINER", required=True, help="such as abfs://logs")
    logs.add_argument(
        "--since", metavar="TIME", type=duration, default=timedelta(hours=24),
        help="the age of the oldest entries, such as 2h or 1d (default: 24h)",
    )  # fmt: skip
    logs.add_argument(
        "--storage-conn", metavar="ID", default="wasb_default",
        help="the Airflow connection to Azure Storage (default: wasb_default)",
    )  # fmt: skip
    for action, about in _ABOUT.items():
        act = add_verb(verbs, action, partial(_act, action), about, add_yes)
        act.add_argument("pool", metavar="POOL", type=batch_id, help="the pool's id")
        act.add_argument("nodes", metavar="NODE", type=batch_id, nargs="+", help="the node's id")
        if action != "start":
            act.add_argument(
                "--running-tasks", choices=("requeue", "terminate", "taskcompletion"), default="requeue",
                help="what happens to their tasks (default: requeue)",
            )  # fmt: skip
        add_waiting(act, _WAIT_LIMIT)


def _list(options: Namespace) -> int:
    where = None if options.state is None else NodeChoice(states=[options.state]).where()
    nodes = on_account(options, lambda client: client.list_nodes(options.pool, where=where))
    return print_list(
        options,
        [node_summary(node) for node in nodes],
        _HEADER,
        lambda node: (
            node["node_id"],
            node["state"],
            age(parse_instant(node["since"])),
            node["kind"],
            "accepted" if node["accepts_tasks"] else "refused",
            node["private_address"],
            node["ssh"],
            node["cause"],
        ),
    )


def _show(options: Namespace) -> int:
    body = on_account(options, lambda client: _node(client, options))
    node = {**node_summary(NodeSnapshot.from_rest(body)), "recent_tasks": tasks_on(body)}
    start = node["start_task"]
    facts = {
        **{name.replace("_", " "): value for name, value in node.items()},
        "start task": start and f"{start['state']}, exit code {start['exit_code']}",
        "recent tasks": [
            f"task {task['task_id']!r} of job {task['job_id']!r}: {task['state']}"
            for task in node["recent_tasks"]
        ],
    }
    return print_item(options, node, facts)


def _log(options: Namespace) -> int:
    async def work(client: BatchLinuxClient) -> tuple[int, int | None]:
        from airflow_provider_batchlinux.client.api.files import node_file

        node = NodeSnapshot.from_rest(await _node(client, options))
        if options.file is None and node.start_task is None and node.state not in BOOTING_STATES:
            msg = (
                f"Node {options.node!r} has no start task, so there is no output. --file prints another file."
            )
            raise ValueError(msg)
        files = files_of(options, "startup/", partial(node_file, client, options.pool, options.node))

        async def is_over() -> bool:
            node = NodeSnapshot.from_rest(await _node(client, options))
            start = node.start_task
            return options.file is None and (
                start.ended is not None if start is not None else node.state in READY_STATES
            )

        written = await print_files(options, files, is_over)
        if options.file is not None or not options.follow:
            return written, None
        ended = NodeSnapshot.from_rest(await _node(client, options)).start_task
        return written, ended.exit_code if ended else None

    written, exit_code = on_account(options, work)
    if not written:
        say("The start task has written nothing." if options.file is None else "The file is empty.")
    if exit_code:
        say(f"The start task of node {options.node!r} has failed with exit code {exit_code}.")
    return 1 if exit_code else 0


def _act(action: NodeAction, options: Namespace) -> int:
    running_tasks = getattr(options, "running_tasks", "requeue")
    if action != "start":
        require_consent(
            options,
            f"{action.capitalize()} {counted(len(options.nodes), 'node')} of pool {options.pool!r}: "
            f"{joined(options.nodes)}?",
        )

    async def work(client: BatchLinuxClient) -> list[str]:
        from airflow_provider_batchlinux.client.nodes.actions import NodesActedWait, act_on_nodes

        acted = await act_on_nodes(client, options.pool, action, NodeChoice(options.nodes), running_tasks)
        if acted.node_ids and options.waits:
            wait = NodesActedWait(client, options.pool, action, acted)
            await wait_here(options, wait, f"{action.capitalize()}: {joined(acted.node_ids)}.")
        return acted.node_ids

    taken = on_account(options, work)
    if not taken:
        msg = f"Nothing was done: pool {options.pool!r} has no nodes {joined(options.nodes)}."
        raise NothingDoneError(msg)
    if not options.waits:
        say(f"{action.capitalize()} is accepted by {joined(taken)}.")
    # A warning has named the nodes that the pool does not have.
    return 0 if len(taken) == len(set(map(str.lower, options.nodes))) else 1


def _upload_logs(options: Namespace) -> int:
    from airflow_provider_batchlinux.client.nodes.logs import upload_logs

    request = LogRequest.of(options.to, options.storage_conn, None, options.since.total_seconds())
    choice = NodeChoice(options.nodes) if options.nodes else NodeChoice(states=BROKEN_STATES)
    storage = storage_of_connections()
    uploaded = [
        logs.to_dict()
        for logs in on_account(
            options, lambda client: upload_logs(client, storage, options.pool, choice, request)
        )
    ]
    if not uploaded:
        msg = f"Nothing was done: pool {options.pool!r} has no such nodes, or none is broken."
        raise NothingDoneError(msg)
    if options.json:
        print_json(uploaded)
    else:
        print_table(("NODE", "DIRECTORY", "FILES"), [tuple(node.values()) for node in uploaded])
        say("The nodes upload their files now.")
    return 0


async def _node(client: BatchLinuxClient, options: Namespace) -> Any:
    body = await client.find_node_body(options.pool, options.node)
    if body is None:
        msg = f"Pool {options.pool!r} has no node {options.node!r}, or does not exist."
        raise ValueError(msg)
    return body
