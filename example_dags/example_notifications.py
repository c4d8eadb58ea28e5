"""
Check three files on a Linux node, and tell a chat which of them is wrong, with the cause.

The notifier posts to an incoming webhook, as Slack, Teams and Mattermost have it. Its URL is a secret: it is
the password of the connection `chat_webhook`. The cause is the message that the task fails with, also if the
task was deferred. Runs unchanged on the embedded Batch service and on a real account.
"""

from __future__ import annotations

from typing import Any

import httpx
import pendulum
from airflow.sdk import DAG, BaseHook, BaseNotifier

from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.task_groups.pool import BatchLinuxPool


# [START notifier]
class ChatNotifier(BaseNotifier):
    """Post a text to the incoming webhook of a chat."""

    template_fields = ("text",)

    def __init__(self, text: str, conn_id: str = "chat_webhook") -> None:
        super().__init__()
        self.text = text
        self.conn_id = conn_id

    def notify(self, context: Any) -> None:  # noqa: ARG002
        """Send it."""
        url = BaseHook.get_connection(self.conn_id).password
        answer = httpx.post(url, json={"text": self.text}, timeout=10)
        if answer.is_error:
            # The error of raise_for_status() has the URL.
            msg = f"The chat has answered with {answer.status_code}."
            raise RuntimeError(msg)


FAILED = ChatNotifier(
    "{{ ti.dag_id }}.{{ ti.task_id }} {{ ti.rendered_map_index or '' }}: "
    # What follows is what the command has printed.
    "{{ ((exception | string).split() | join(' ')).partition(' The end of ')[0] }}"
)
# [END notifier]

with (
    DAG(
        "example_notifications",
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        params={"wrong": "none"},
        default_args={"on_failure_callback": FAILED},
        doc_md=__doc__,
        tags=["batchlinux", "example"],
    ) as dag,
    BatchLinuxPool(
        "linux", image="ubuntu 24.04", vm_size="standard_d2s_v5", dedicated_nodes=1, deferrable=True
    ) as pool,
):
    # [START named_items]
    check = BatchLinuxTaskOperator.partial(
        task_id="check",
        pool_id=pool.pool_id,
        # A stand-in for "./check.sh $DAY"
        command='if [ "$DAY" = "$WRONG" ]; then echo "$DAY has no rows" >&2; exit 3; fi',
        map_index_template="{{ task.environment['DAY'] }}",
        deferrable=True,
    ).expand(environment=[{"DAY": day, "WRONG": "{{ params.wrong }}"} for day in ("mon", "tue", "wed")])
    # [END named_items]
