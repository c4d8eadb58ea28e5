"""Airflow's SSH hook for a node of a pool: it finds the node, and adds a user for the connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_batchlinux.core.instants import Duration, expiry_of, seconds_of
from airflow_provider_batchlinux.hooks._temporary_login import TemporaryLogin, task_context
from airflow_provider_batchlinux.hooks.batch_linux import DEFAULT_CONN_ID, BatchLinuxHook

try:
    from airflow.providers.ssh.hooks.ssh import SSHHook
except ImportError as error:
    _MSG = "SSH to nodes needs Airflow's SSH provider: pip install 'airflow-provider-batchlinux[ssh]'."
    raise AirflowOptionalProviderFeatureException(_MSG) from error

from airflow_provider_batchlinux.hooks._ssh_connection import (
    ACCEPT_NEW,
    HostKeys,
    Login,
    NodeClient,
    private_key,
)

if TYPE_CHECKING:
    from airflow_provider_batchlinux.core.nodes.addresses import AddressChoice

__all__ = ["BatchLinuxNodeSSHHook"]


class BatchLinuxNodeSSHHook(SSHHook):
    """
    Log in to a node of a pool by Airflow's own SSH operators.

    .. code-block:: python

        SSHOperator(task_id="disk", ssh_hook=BatchLinuxNodeSSHHook("etl"), command="df -h")

    Hand it to ``SSHOperator(ssh_hook=...)``. Nothing is called while the Dag file is parsed. When the
    operator connects, the hook finds the node's address, generates a key pair in memory, adds a user with a
    unique name, and logs in. When the connection is closed, at the end of the task or when it is killed, the
    user is removed. The pool's ledger has the user meanwhile. If the worker dies, the next try of the task
    removes the user, and so does an audit once its time is over.

    ``pool_id`` and ``node_id`` may be templates, or an ``XComArg``, although operators do not render what is
    in a hook: the hook renders them itself, when it connects inside of a task.

    :param pool_id: the pool. (templated)
    :param node_id: the node; ``None`` for an idle one, or else one that runs tasks. (templated)
    :param batch_linux_conn_id: the connection to the Batch account.
    :param address: ``"public"`` for the node's public address, ``"private"`` for the one in the virtual
        network; ``None`` prefers the public one.
    :param expires_in: how long the user may live at most, as a pendulum duration, ``timedelta`` or seconds
        from the connection on.
    :param is_admin: give the user ``sudo``.
    :param host_keys: ``"accept-new-for-this-run"`` takes the first host key that the node shows, and by this
        hook only that one from then on; ``"refuse"`` takes those of the worker's known_hosts file; any other
        text is the content of such a file. The service does not publish the host keys of nodes.
    :param answer_timeout: how long to wait at most until the address answers, before a user is made, as a
        pendulum duration, ``timedelta`` or seconds; ``None`` does not look.
    :param ssh_options: further arguments of Airflow's ``SSHHook`` that say how to connect, such as
        ``cmd_timeout``; not those that say who logs in and where, which this hook sets.
    """

    conn_name_attr = "batch_linux_conn_id"

    def __init__(
        self,
        pool_id: str,
        node_id: str | None = None,
        *,
        batch_linux_conn_id: str = DEFAULT_CONN_ID,
        address: AddressChoice = None,
        expires_in: Duration = timedelta(hours=4),
        is_admin: bool = False,
        host_keys: str = ACCEPT_NEW,
        answer_timeout: Duration | None = None,
        **ssh_options: Any,
    ) -> None:
        _require_known(ssh_options)
        # Airflow's hook wants a host and a user name now; both are found when it connects.
        super().__init__(
            **{**ssh_options, "ssh_conn_id": None, "remote_host": "node", "username": "node", "port": 22}
        )
        # What a line such as "Host *" of the worker's ssh configuration says is not meant for nodes.
        self.key_file = None
        self.host_proxy_cmd = ssh_options.get("host_proxy_cmd")
        self.pool_id: Any = pool_id
        self.node_id: Any = node_id
        self.batch_linux_conn_id = batch_linux_conn_id
        self.address: AddressChoice = address
        self.expires_in = expires_in
        self.is_admin = is_admin
        self.host_keys_policy = host_keys
        self.answer_timeout = answer_timeout
        self._host_keys: HostKeys | None = None
        self._found_node: str | None = None

    def get_conn(self) -> Any:
        """
        Connect to the node as a temporary user, or return the open connection.

        Closing the connection removes the user.
        """
        if self.client is not None:
            transport = self.client.get_transport()
            if transport is not None and transport.is_active():
                return self.client
            self.client.close()
        node_id = self._found_node or _rendered(self.node_id)
        login = TemporaryLogin.with_generated_key(
            BatchLinuxHook(self.batch_linux_conn_id),
            _rendered(self.pool_id),
            expires_at=expiry_of(self.expires_in, None, datetime.now(timezone.utc)),
            node_ids=None if node_id is None else [node_id],
            is_admin=self.is_admin,
            address=self.address,
        )
        client = NodeClient(login.close)
        try:
            timeout = self.answer_timeout
            endpoint = login.add_to_one(
                answer_timeout=None if timeout is None else seconds_of("answer_timeout", timeout)
            )
            assert endpoint.address is not None, "add_to_one() requires an address"
            assert endpoint.port is not None, "an address has a port"
            # A second connection must lead to the same node: some operators open one for each file.
            self._found_node = endpoint.node_id
            self.remote_host, self.port, self.username = endpoint.address, endpoint.port, endpoint.username
            self.pkey = private_key(login.private_key)
            self._host_keys = self._host_keys or HostKeys(self.host_keys_policy)
            Login(endpoint.username, self._host_keys, self.pkey, self._connect_options()).open(
                client, endpoint.address, endpoint.port
            )
        except BaseException:
            client.close()
            raise
        # What Airflow's SFTP hook hands on to its helpers.
        self.host_key = self._host_keys.of(endpoint.address, endpoint.port)
        self.no_host_key_check = self.host_key is None
        if self.keepalive_interval:
            client.get_transport().set_keepalive(self.keepalive_interval)
        self.client = client
        return client

    def _connect_options(self) -> dict[str, Any]:
        return {
            "timeout": self.conn_timeout or 10,
            "compress": self.compress,
            "banner_timeout": self.banner_timeout,
            "auth_timeout": self.auth_timeout,
            "sock": self.host_proxy,
            "disabled_algorithms": self.disabled_algorithms,
        }


def _rendered(value: Any) -> Any:
    context = task_context()
    if context is None:
        return value
    task: Any = context["task"]
    return task.render_template(value, context)


def _require_known(options: Mapping[str, Any]) -> None:
    ours = {"ssh_conn_id", "remote_host", "username", "password", "key_file", "port", "no_host_key_check"}
    if taken := sorted(ours & {name for name, value in options.items() if value is not None}):
        msg = f"{', '.join(taken)} cannot be given: the hook finds the node, and makes a user for it."
        raise ValueError(msg)
