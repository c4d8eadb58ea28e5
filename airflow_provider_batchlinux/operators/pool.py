"""Operators that create and delete a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

from async_timeout import timeout

from airflow_provider_batchlinux._metrics import report_usage
from airflow_provider_batchlinux.core.instants import Duration, expiry_of
from airflow_provider_batchlinux.exceptions import BatchLinuxError, BatchQuotaError, BatchUnreachableError
from airflow_provider_batchlinux.hooks._storage_connection import storage_access
from airflow_provider_batchlinux.links._base import persist_links
from airflow_provider_batchlinux.operators._base import (
    failed_tasks,
    is_last_try,
    marked_owner,
    runs_ended,
)
from airflow_provider_batchlinux.operators._pool_checks import (
    read_body,
    require_entra,
    require_management,
    secrets_hidden,
    warn_of_risks,
)
from airflow_provider_batchlinux.operators._waiting import (
    DEFAULT_DEFERRABLE,
    BatchLinuxWaitingOperator,
    Step,
)
from airflow_provider_batchlinux.triggers._base import KILL_LIMIT
from airflow_provider_batchlinux.triggers.pool import BatchLinuxPoolGoneTrigger, BatchLinuxPoolSteadyTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools.release import Release
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.pools.changes import IfExists
    from airflow_provider_batchlinux.core.pools.create_requests import CreatePoolRequest, PoolRequest
    from airflow_provider_batchlinux.core.pools.requests import DeletePoolRequest
    from airflow_provider_batchlinux.specs import (
        AutoscaleSpec,
        ContainerSpec,
        NetworkSpec,
        SchedulingSpec,
        SecuritySpec,
        SoftwareSpec,
        StartTaskSpec,
        StorageSpec,
        UserAccountSpec,
    )
    from airflow_provider_batchlinux.triggers._base import BatchLinuxTrigger

__all__ = ["BatchLinuxCreatePoolOperator", "BatchLinuxDeletePoolOperator"]


class BatchLinuxCreatePoolOperator(BatchLinuxWaitingOperator["CreatePoolRequest"]):
    """
    Create a pool of Linux nodes, or adopt the one that an earlier try created.

    .. code-block:: python

        create = BatchLinuxCreatePoolOperator(
            task_id="create",
            image="ubuntu 24.04",
            vm_size="standard_d2s_v5",
            dedicated_nodes=2,
            expires_in=pendulum.duration(hours=6),
        )

    The operator returns as soon as the service has accepted the pool; its nodes come later. Wait for them
    with :class:`~airflow_provider_batchlinux.sensors.nodes.BatchLinuxNodesIdleSensor`.

    What a pool can have beyond the plain parameters comes in parts: each is an object of
    :mod:`airflow_provider_batchlinux.specs`, or a dict with the same names. What the service would only tell
    late is checked before any request, and all problems are named together. Passwords, keys and URLs in parts
    are masked wherever Airflow shows them.

    Results in XCom, each under its own key and together as the return value:

    - ``pool_id``, ``vm_size``, ``node_agent_sku``, ``image`` (publisher, offer, sku, version)
    - ``created``: whether this task created the pool
    - ``changed``: the properties that it changed on an existing pool
    - ``requested_at``: when the resize of an existing pool began, by the service's clock in ISO 8601, for the
      sensor's parameter ``requested_at``; ``None`` for a new pool, or if no resize was requested
    - ``image_end_of_support``: ISO 8601, or ``None`` if the service names no date

    .. seealso::
        ``docs/howto/create-a-pool.md``,
        and ``create_pool`` in ``example_dags/example_linux_pool.py``.

    :param pool_id: the pool's id: at most 64 letters, digits, hyphens and underscores. ``None`` derives one
        from the Dag, the run, the task and its map index, the same for every try. ``{fingerprint}`` in it is
        replaced by twelve characters that change with the parameters that define the pool: a changed request
        is a new pool. (templated)
    :param image: a distribution such as ``"ubuntu 24.04"``, ``"publisher:offer:sku"``, or a mapping with
        ``publisher``, ``offer``, ``sku``, and ``node_agent_sku`` if the service does not list the image. A
        custom or gallery image is ``{"id": "/subscriptions/...", "node_agent_sku": "..."}``. It is
        resolved when the task runs, against what the service supports then. ``None`` only with a ``body``
        that contains it. (templated)
    :param vm_size: the VM size of the nodes, such as ``standard_d2s_v5``; ``None`` only with a ``body``.

        - A list is tried in order. The first size that the region offers and the quotas allow is used;
          without preflight information the first entry is used. A retry that finds its pool without any node,
          for lack of capacity or quota, uses the next entry.
        - A dict says what a size must have: ``cores``, ``memory_gb``, ``disk_gb``, ``gpus``,
          ``architecture``, ``like`` (a pattern of its name such as ``standard_d*s_v5``). The smallest such
          size is used, the newest of those. That needs the management plane, as ``identities`` do.
          (templated)
    :param dedicated_nodes: the number of dedicated nodes. (templated)
    :param spot_nodes: the number of Spot nodes, which are cheaper and which Azure may evict at any time.
        (templated)
    :param start_task: a bash command that every node runs at every boot, or a
        :class:`~airflow_provider_batchlinux.specs.StartTaskSpec`; ``None`` for none. A node accepts tasks
        only after it has succeeded. (templated)
    :param start_task_elevated: run the start task as root, as the installation of packages needs. (templated)
    :param start_task_environment: environment variables of the start task. (templated)
    :param start_task_retries: how often a failed start task is retried on its node; -1 for without limit.
        (templated)
    :param ssh_from: networks that may reach SSH on the nodes, such as ``["203.0.113.0/24"]``. An empty list
        denies all networks by a rule. ``None`` maps no port to SSH, so that it is closed, as for all pools
        created since 30 November 2025. It cannot be changed later while the pool has nodes. A pool that is
        open to the whole Internet gets a warning, or is refused with ``forbid_open_ssh``. (templated)
    :param metadata: names and values to store with the pool. (templated)
    :param task_slots_per_node: how many tasks a node runs concurrently. (templated)
    :param resize_timeout: how long the service may look for nodes, at least 5 minutes, as a pendulum
        duration, ``timedelta`` or seconds; ``None`` is the service's default of 15 minutes. (templated)
    :param display_name: a name for people; ``None`` for none. (templated)
    :param autoscale: a formula that sets the number of nodes instead of ``dedicated_nodes`` and
        ``spot_nodes``, or an :class:`~airflow_provider_batchlinux.specs.AutoscaleSpec`. (templated)
    :param network: subnet, public addresses, endpoints, as
        :class:`~airflow_provider_batchlinux.specs.NetworkSpec`. (templated)
    :param storage: mounts and disks, as :class:`~airflow_provider_batchlinux.specs.StorageSpec`. (templated)
    :param security: trusted launch, confidential VMs, encryption, as
        :class:`~airflow_provider_batchlinux.specs.SecuritySpec`. (templated)
    :param containers: a container engine, images to pull, registries, as
        :class:`~airflow_provider_batchlinux.specs.ContainerSpec`. (templated)
    :param software: application packages, extensions, upgrades of the image, as
        :class:`~airflow_provider_batchlinux.specs.SoftwareSpec`. (templated)
    :param user_accounts: accounts that tasks can run as, each a
        :class:`~airflow_provider_batchlinux.specs.UserAccountSpec`. (templated)
    :param scheduling: the placement of nodes, and how tasks are distributed over them, as
        :class:`~airflow_provider_batchlinux.specs.SchedulingSpec`. (templated)
    :param identities: ARM ids of user-assigned managed identities of the nodes. The pool is then created
        through Azure's management plane: the connection must name ``subscription_id`` and ``resource_group``
        and use an Entra identity, and the extra ``mgmt`` must be installed. (templated)
    :param tags: Azure's tags of the pool; they need what ``identities`` need. (templated)
    :param preflight: check before the pool is created whether it can get its nodes: VM size, image, quotas,
        as far as the management plane tells. If that is not available, a warning is logged. ``None`` checks
        if the connection has what ``identities`` need. A pool that exists is not checked. (templated)
    :param body: the whole pool as a REST body of version 2025-06-01, instead of the parameters above (except
        ``pool_id``, ``image``, ``identities``, ``tags`` and ``preflight``): a dict, or the name of a JSON or
        YAML file, which is found and rendered like Airflow's template files. Its ``imageReference`` may be
        text, as ``image``. Unknown properties and values are sent with a warning. (templated)
    :param expires_in: how long the pool is needed, as a pendulum duration, ``timedelta`` or seconds; ``None``
        for no expiry. The image is selected to be supported until then, and the expiry is recorded in the
        pool's metadata (``airflow_batchlinux_expires_at``). The service does not delete the pool then: use
        :class:`BatchLinuxDeletePoolOperator` as teardown, and
        :class:`~airflow_provider_batchlinux.operators.sweeper.BatchLinuxSweepPoolsOperator` for pools that
        are left behind. (templated)
    :param max_node_hours: how many node-hours the pool may use in its whole life, whichever runs use it;
        ``None`` for any number. The wait for the nodes, a lease of users and the sweeper count what the pool
        has used, and warn if it is more. The count is a lower bound. (templated)
    :param delete_over_budget: let them delete such a pool **with all tasks that run on it**. (templated)
    :param if_exists: what to do if a pool with this id already exists. A pool that an earlier try of the same
        task instance created with the same parameters is always reused.

        - ``reuse`` adopts a pool of this provider that does not differ, by whichever task it was created, and
          extends its expiry if necessary. Any other pool fails the task with the differences, property by
          property.
        - ``fail`` fails the task.
        - ``update`` changes in place what the service can change; ``resize`` only the number of nodes or the
          formula. If that is not enough, the task fails before any change.
        - ``recreate`` deletes the pool **with all tasks that run on it**, and creates it again.
        - ``ignore`` uses the pool unchanged, with a warning that names the differences.

        Another spelling is no difference, and a pool without differences is never changed or deleted.
        (templated)
    :param poll_interval: the longest time between polls meanwhile, as a pendulum duration, ``timedelta`` or
        seconds. (templated)
    :param deletion_limit: how long to wait while a pool with this id is being deleted, or resized before its
        size is changed, as a pendulum duration, ``timedelta`` or seconds. (templated)
    :param quota_limit: how long to wait for room if the account's quota of pools is full, from the start of
        the try, as a pendulum duration, ``timedelta`` or seconds; ``None`` fails immediately. (templated)
    :param deferrable: wait for that on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields_renderers = {  # noqa: RUF012 - Airflow's own form
        "start_task": "bash",
        **dict.fromkeys(("image", "vm_size", "body"), "json"),
        **dict.fromkeys(("start_task_environment", "ssh_from", "metadata", "identities", "tags"), "json"),
        **dict.fromkeys(("autoscale", "network", "storage", "security", "containers", "software"), "json"),
        **dict.fromkeys(("user_accounts", "scheduling"), "json"),
    }
    limit_name = "deletion_limit"

    _is_last_try = False
    _was_killed = False

    _pool: PoolRequest
    """What the request makes, with an id if it has none."""

    def __init__(
        self,
        *,
        image: str | dict[str, Any] | None = None,
        vm_size: str | list[str] | dict[str, Any] | None = None,
        pool_id: str | None = None,
        dedicated_nodes: int | str = 0,
        spot_nodes: int | str = 0,
        start_task: str | StartTaskSpec | dict[str, Any] | None = None,
        start_task_elevated: bool | str = False,
        start_task_environment: dict[str, str] | None = None,
        start_task_retries: int | str = 0,
        ssh_from: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        task_slots_per_node: int | str = 1,
        resize_timeout: Duration | str | None = None,
        display_name: str | None = None,
        autoscale: str | AutoscaleSpec | dict[str, Any] | None = None,
        network: NetworkSpec | dict[str, Any] | None = None,
        storage: StorageSpec | dict[str, Any] | None = None,
        security: SecuritySpec | dict[str, Any] | None = None,
        containers: ContainerSpec | dict[str, Any] | None = None,
        software: SoftwareSpec | dict[str, Any] | None = None,
        user_accounts: Sequence[UserAccountSpec | dict[str, Any]] | None = None,
        scheduling: SchedulingSpec | dict[str, Any] | None = None,
        identities: list[str] | None = None,
        tags: dict[str, str] | None = None,
        preflight: bool | str | None = None,
        body: str | dict[str, Any] | None = None,
        expires_in: Duration | str | None = None,
        max_node_hours: float | str | None = None,
        delete_over_budget: bool | str = False,
        if_exists: IfExists = "reuse",
        deletion_limit: Duration | str = timedelta(minutes=15),
        quota_limit: Duration | str | None = timedelta(hours=1),
        poll_interval: Duration | str = timedelta(seconds=5),
        **kwargs: Any,
    ) -> None:
        kwargs = {"multiple_outputs": True, "poll_interval": poll_interval, **kwargs}
        super().__init__(pool_id=pool_id, **kwargs)  # type: ignore[arg-type]  # only here it may be None
        self.start_task_environment, self.task_slots_per_node = start_task_environment, task_slots_per_node
        self.start_task_elevated, self.start_task_retries = start_task_elevated, start_task_retries
        self.delete_over_budget, self.dedicated_nodes, self.image = delete_over_budget, dedicated_nodes, image
        self.deletion_limit, self.max_node_hours, self.containers = deletion_limit, max_node_hours, containers
        self.resize_timeout, self.user_accounts, self.quota_limit = resize_timeout, user_accounts, quota_limit
        self.display_name, self.spot_nodes, self.expires_in = display_name, spot_nodes, expires_in
        self.identities, self.scheduling, self.start_task = identities, scheduling, start_task
        self.if_exists, self.preflight, self.autoscale, self.body = if_exists, preflight, autoscale, body
        self.software, self.security, self.ssh_from, self.metadata = software, security, ssh_from, metadata
        self.vm_size, self.storage, self.network, self.tags = vm_size, storage, network, tags

    @classmethod
    def request_class(cls) -> type[CreatePoolRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.create_requests import CreatePoolRequest

        return CreatePoolRequest

    def execute(self, context: Context) -> dict[str, Any]:
        """Create or adopt the pool."""
        self._begin(context)
        with secrets_hidden(self._pool.spec):
            return cast("dict[str, Any]", super().execute(context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after a pool with the same id was deleted or resized."""
        self._begin(context)
        with secrets_hidden(self._pool.spec):
            return cast("dict[str, Any]", super().execute_complete(context, event))

    def on_kill(self) -> None:
        """
        Delete the pool if no try is left that could adopt it: a failed setup has no teardown.

        Also called when ``execution_timeout`` is over.
        """
        self._was_killed = True
        if self._is_last_try:
            self.hook.run(self._try_to_take_back, settings=self.account)

    async def take_back(
        self, client: BatchLinuxClient, context: Context, trigger: BatchLinuxTrigger | None
    ) -> None:
        """Delete the pool if an earlier try has created it."""
        self._begin(context)
        await self._try_to_take_back(client)
        await super().take_back(client, context, trigger)

    def _begin(self, context: Context) -> None:
        self._pool = self.request.of_task(
            marked_owner(context, self.installation),
            read_body(self, self.request.body, context),
            id_prefix=self.account.id_prefix,
            has_ended=runs_ended(context, [self.installation]),
            now=datetime.now(timezone.utc),
        )
        warn_of_risks(self._pool.spec, self.account)
        self._is_last_try = is_last_try(context)

    async def _try_to_take_back(self, client: BatchLinuxClient) -> None:
        from airflow_provider_batchlinux.client.pools.release import take_back

        pool_id = self._pool.spec.pool_id
        try:
            async with timeout(KILL_LIMIT):
                await take_back(client, pool_id, self._pool.owner)
        except (BatchLinuxError, asyncio.TimeoutError) as error:
            why = str(error) or f"no answer in {KILL_LIMIT:g} s."
            self.log.warning("Pool %r may be left without a task that deletes it: %s", pool_id, why)

    def link_pool(self, context: Context) -> AccountSettings:
        """Store the link to the pool, and return the account."""
        require_entra(self._pool.spec, self.account)
        require_management(self._pool.spec, self.account)
        persist_links(self, context, self.account, self._pool.spec.pool_id)
        return self.account

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Create or adopt the pool, or return the trigger that waits for a pool with the same id."""
        from airflow_provider_batchlinux.client.api.management import management_for
        from airflow_provider_batchlinux.client.pools.create import Obstacle, ensure_pool

        spec = self._pool.spec
        arguments = {**self.trigger_arguments(context), "pool_id": spec.pool_id}
        is_managed = require_management(spec, self.account)
        try:
            async with management_for(
                self.account, required=is_managed, preflight=self.request.preflight
            ) as plane:
                pool = await ensure_pool(client, self._pool, plane)
        except BatchQuotaError as error:
            return self.wait_for_room(context, error, self.request.quota_limit)
        except BatchUnreachableError:
            # The service may have taken a request whose answer was lost.
            if self._is_last_try:
                await self._try_to_take_back(client)
            raise
        if self._was_killed and self._is_last_try:
            # The signal came before the request.
            await self._try_to_take_back(client)
        if pool is Obstacle.BEING_DELETED:
            return BatchLinuxPoolGoneTrigger(**arguments)
        if pool is Obstacle.BEING_RESIZED:
            return BatchLinuxPoolSteadyTrigger(**arguments)
        self.log.info("Pool %r %s.", pool.pool_id, "was created" if pool.created else "exists already")
        return pool.to_result()

    async def finish(
        self,
        client: BatchLinuxClient,
        context: Context,
        trigger: BatchLinuxTrigger,
        result: dict[str, Any],  # noqa: ARG002
    ) -> Step:
        """Try again, after what was in the way is gone."""
        self.continue_after_room(trigger)
        return await self.submit(client, context)


class BatchLinuxDeletePoolOperator(BatchLinuxWaitingOperator["DeletePoolRequest"]):
    """
    Delete a pool with its nodes. A pool that does not exist is fine.

    The jobs of :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator` on the pool whose
    commands can no longer end, or whose Dag runs have ended, are deleted, too.

    It is made to be a teardown:

    .. code-block:: python

        delete = BatchLinuxDeletePoolOperator(task_id="delete", pool_id=create.output["pool_id"])
        create >> wait >> work >> delete.as_teardown(setups=create)

    A pool that another Dag run uses is kept, with a warning that names the run: the last of the runs that
    share a pool deletes it. A run uses the pools that its tasks created or reused, until it deletes them, it
    has ended, or the pool has expired. A pool that another client created, and that tasks used as it is, is
    kept, too.

    Result in XCom: ``pool_id`` and ``deleted`` (``False`` if the pool did not exist, or was kept); with
    ``reason`` if it was kept. If it was deleted, also ``dedicated_node_hours``, ``spot_node_hours`` and
    ``preemptions`` of its life, all as lower bounds: the service keeps no history, so nodes count until the
    last look at them. They are also sent to Airflow's metrics (``batchlinux.pool.used_node_seconds`` and
    ``batchlinux.pool.preemptions``).

    .. seealso::
        ``docs/howto/keep-an-account-tidy.md``,
        and ``delete_pool`` in ``example_dags/example_linux_pool.py``.

    :param pool_id: the pool's id. (templated)
    :param keep_on_failure: how long to keep the pool if a task of the Dag run has failed, for example to look
        at its nodes, as a pendulum duration, ``timedelta`` or seconds. After that,
        :class:`~airflow_provider_batchlinux.operators.sweeper.BatchLinuxSweepPoolsOperator` deletes it. Its
        nodes are billed meanwhile. ``None`` deletes it also then. (templated)
    :param force: delete the pool even if other Dag runs use it. (templated)
    :param wait: wait until the pool is gone, so that nothing is billed and its id is free. ``False`` returns
        as soon as the service has accepted the request. (templated)
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The deletion
        continues at the service after that. (templated)
    :param poll_interval: the longest time between polls, as a pendulum duration, ``timedelta`` or seconds.
        (templated)
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``. (templated)
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    ui_color = "#f3e3d8"
    limit_name = "timeout"

    def __init__(
        self,
        *,
        pool_id: str,
        keep_on_failure: Duration | str | None = None,
        force: bool | str = False,
        wait: bool | str = True,
        timeout: Duration | str = timedelta(hours=1),
        poll_interval: Duration | str = timedelta(seconds=10),
        deferrable: bool | str = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, poll_interval=poll_interval, deferrable=deferrable, **kwargs)
        self.keep_on_failure = keep_on_failure
        self.force = force
        self.wait = wait
        self.timeout = timeout

    @classmethod
    def request_class(cls) -> type[DeletePoolRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.pools.requests import DeletePoolRequest

        return DeletePoolRequest

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Delete the pool, unless another Dag run uses it or it is kept after a failure."""
        from airflow_provider_batchlinux.client.pools.release import Deletion, release_pool
        from airflow_provider_batchlinux.client.tasks.sweep import sweep_jobs_of_pool

        pool_id = self.request.pool_id
        release = self._release(context)
        released = await release_pool(client, pool_id, release)
        if released.deletion is Deletion.KEPT:
            self.log.warning(
                "Pool %r is kept, because %s. force=True deletes it all the same.", pool_id, released.reason
            )
            return {"pool_id": pool_id, "deleted": False, "reason": released.reason}
        found = released.deletion is Deletion.REQUESTED
        usage = None
        if released.usage is not None:
            report_usage(released.usage)
            usage = released.usage.usage.to_dict()
            self.log.info("Pool %r has used at least %s.", pool_id, released.usage.usage)
        self.log.info("Pool %r %s.", pool_id, "is being deleted" if found else "does not exist")
        has_ended = release.has_ended
        await sweep_jobs_of_pool(client, pool_id, self.installation, has_ended, storage_access())
        if found and self.request.wait:
            return BatchLinuxPoolGoneTrigger(usage=usage, **self.trigger_arguments(context))
        return {"pool_id": pool_id, "deleted": found, **(usage or {})}

    async def finish(
        self,
        client: BatchLinuxClient,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        trigger: BatchLinuxTrigger,
        result: dict[str, Any],
    ) -> Step:
        """Return that the pool was deleted, and what it has used."""
        usage = trigger.usage if isinstance(trigger, BatchLinuxPoolGoneTrigger) else None
        return {**result, "deleted": True, **(usage or {})}

    def _release(self, context: Context) -> Release:
        from airflow_provider_batchlinux.client.pools.release import Release
        from airflow_provider_batchlinux.core.pool_metadata import Holder
        from airflow_provider_batchlinux.core.text import joined

        now, until = datetime.now(timezone.utc), None
        if self.request.keep_on_failure is not None and (failed := failed_tasks(context)):
            until = expiry_of(self.request.keep_on_failure, None, now)
            self.log.warning("Tasks of the Dag run have failed: %s.", joined(failed))
        return Release(
            run=Holder.of(marked_owner(context, self.installation)),
            now=now,
            has_ended=runs_ended(context, [self.installation]),
            keep_until=until,
            force=self.request.force,
        )
