"""Operators that make a pool and take it away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow_provider_batchlinux.core.instants import Duration, expiry_of
from airflow_provider_batchlinux.links.portal import BatchLinuxPoolLink
from airflow_provider_batchlinux.operators._base import (
    BatchLinuxBaseOperator,
    defer_to,
    failed_tasks,
    result_of,
)
from airflow_provider_batchlinux.operators._pool_request import (
    PARTS,
    hide_parts,
    pool_wish,
    require_entra,
    require_management,
    require_one_form,
    secrets_untold,
)
from airflow_provider_batchlinux.operators._waiting import (
    DEFAULT_DEFERRABLE,
    BatchLinuxWaitingOperator,
    Step,
)
from airflow_provider_batchlinux.triggers.pool import BatchLinuxPoolGoneTrigger, BatchLinuxPoolSteadyTrigger

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context

    from airflow_provider_batchlinux.client.api.batch import BatchLinuxClient
    from airflow_provider_batchlinux.client.pools.create import EnsuredPool
    from airflow_provider_batchlinux.client.pools.resolve import PoolRequest
    from airflow_provider_batchlinux.core.pools.changes.if_exists import IfExists
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

_POLL_INTERVAL = 10.0
"""Seconds from one look to the next at a pool that is in the way."""


class BatchLinuxCreatePoolOperator(BatchLinuxBaseOperator):
    """
    Create a pool of Linux nodes, or find the one that an earlier try created.

    The operator returns as soon as the service has taken the pool; its nodes come later. Wait for them
    with :class:`~airflow_provider_batchlinux.sensors.nodes.BatchLinuxNodesIdleSensor`. A pool of the
    same id that was made from another spec fails the task and is left as it is.

    What a pool can have beyond the plain parameters comes in parts: each is an object of
    :mod:`airflow_provider_batchlinux.specs`, or a dict with the same names. All that the service would refuse
    is named at once, before any call. Passwords, keys and URLs in parts are masked wherever Airflow shows
    them.

    Results in XCom, each under its own key and together as the return value: ``pool_id``, ``created``,
    ``changed`` (the properties that were changed on a pool that was there), ``requested_at`` (when a pool
    that was there was asked for nodes, in ISO 8601 by the service's clock, for ``requested_at`` of the
    sensor; ``None`` for a new pool, or where nothing was asked), ``vm_size``, ``image`` (publisher, offer,
    sku, version), ``node_agent_sku``, ``image_end_of_support`` (ISO 8601, or ``None`` when the service names
    no date).

    :param pool_id: the pool's id: at most 64 letters, digits, hyphens and underscores; ``None`` derives
        one from the Dag, the run, the task and its map index, the same for every try. ``{fingerprint}`` in
        it becomes twelve characters that change with any of the parameters below that make the pool: a
        changed request is a new pool. (templated)
    :param image: a distribution such as ``"ubuntu 24.04"``, ``"publisher:offer:sku"``, or a mapping with
        ``publisher``, ``offer``, ``sku`` or an image id, and ``node_agent_sku`` where the service cannot
        know it. Resolved when the task runs, against what the service supports then. ``None`` only with
        a ``body`` that names it. (templated)
    :param vm_size: the VM size of every node, such as ``standard_d2s_v5``; ``None`` only with a ``body``.
        A list of sizes is tried in its order: the first that its region offers and the quotas allow is taken,
        as far as ``preflight`` can tell, else the first; a retry that finds its pool without any node, for
        want of capacity or quota, goes on to the next. A dict says what a size has to have: ``cores``,
        ``memory_gb``, ``disk_gb``, ``gpus``, ``architecture``, ``like`` (a pattern of its name such as
        ``standard_d*s_v5``), as `VmSizeQuery` has it;
        the smallest such size is taken, the newest of those. That needs the management plane, as
        ``identities`` do. (templated)
    :param dedicated_nodes: nodes that stay until they are removed.
    :param spot_nodes: cheaper nodes that Azure may take away at any time.
    :param start_task: a bash command that every node runs at every boot, or a
        :class:`~airflow_provider_batchlinux.specs.StartTaskSpec`; ``None`` for none. A node takes work
        only after it succeeded. (templated)
    :param start_task_elevated: run the start task as root, as installing packages needs.
    :param start_task_environment: environment variables of the start task. (templated)
    :param start_task_retries: further tries of a failed start task on its node; -1 for ever.
    :param ssh_from: networks that may reach SSH on the nodes, such as ``["203.0.113.0/24"]``; ``None``
        keeps SSH closed. It cannot be opened later while the pool has nodes. (templated)
    :param metadata: names and values kept with the pool. (templated)
    :param task_slots_per_node: tasks that a node runs at once.
    :param resize_timeout: how long the service may look for nodes, at least 5 minutes, as a pendulum
        duration, ``timedelta`` or seconds; ``None`` is the service's own 15 minutes.
    :param display_name: a name for people; ``None`` for none. (templated)
    :param autoscale: a formula that sets the number of nodes instead of ``dedicated_nodes`` and
        ``spot_nodes``, or a :class:`~airflow_provider_batchlinux.specs.AutoscaleSpec`. (templated)
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
    :param scheduling: where nodes stand and how tasks spread over them, as
        :class:`~airflow_provider_batchlinux.specs.SchedulingSpec`. (templated)
    :param identities: ARM ids of user-assigned managed identities of the nodes. The pool is then made through
        Azure's management plane, for which the connection names ``subscription_id`` and ``resource_group``
        and uses an Entra identity, and the extra ``mgmt`` is installed. (templated)
    :param tags: Azure's tags of the pool, which need what ``identities`` need. (templated)
    :param preflight: look before the pool is made whether it can get its nodes: VM size, image, quotas, as
        far as the management plane tells them. Where it cannot be asked, only a warning is logged. ``None``
        looks when the connection has what ``identities`` need. A pool that is there already is not looked at.
    :param body: the whole pool as a REST body of version 2025-06-01, instead of the parameters above (besides
        ``pool_id``, ``image``, ``identities``, ``tags`` and ``preflight``): a dict, or the name of a JSON or
        YAML file, which is looked for and rendered as Airflow's template files are. Its ``imageReference``
        may be text, as ``image``. (templated)
    :param expires_in: how long the pool is wanted, as a pendulum duration, ``timedelta`` or seconds;
        ``None`` for no end. The image is chosen to be supported so long, and the instant is kept in the
        pool's metadata (``airflow_batchlinux_expires_at``). The service does not delete the pool
        at that instant: use :class:`BatchLinuxDeletePoolOperator` as teardown, and
        :class:`~airflow_provider_batchlinux.operators.sweeper.BatchLinuxSweepPoolsOperator` for what is left
        behind.
    :param if_exists: what becomes of a pool of that id that is there already. One that an earlier try of this
        very task made from the same parameters is always kept. ``reuse`` takes one made from the same
        parameters by whomever (and keeps it at least as long as ``expires_in`` asks), any other fails the
        task with the differences, property by property; ``fail`` takes none; ``update`` changes in place
        what the service can change, ``resize`` only the numbers of nodes or the formula, and both fail the
        task before any change when that is not enough; ``recreate`` deletes it **with all that runs on it**
        and makes it anew; ``ignore`` takes it as it is, with a warning that names the differences.
    :param deletion_limit: how long to wait while a pool of that id is still being deleted, or resized before
        its size is changed, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait for that on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    template_fields: Sequence[str] = (
        *BatchLinuxBaseOperator.template_fields,
        "pool_id",
        "image",
        "vm_size",
        "start_task",
        "start_task_environment",
        "ssh_from",
        "metadata",
        "display_name",
        *PARTS,
        "identities",
        "tags",
        "body",
    )
    template_fields_renderers = {"start_task": "bash", "metadata": "json"}  # noqa: RUF012 - Airflow's own form
    operator_extra_links = (BatchLinuxPoolLink(),)
    ui_color = "#d8ecf3"

    def __init__(
        self,
        *,
        image: str | dict[str, Any] | None = None,
        vm_size: str | list[str] | dict[str, Any] | None = None,
        pool_id: str | None = None,
        dedicated_nodes: int = 0,
        spot_nodes: int = 0,
        start_task: str | StartTaskSpec | dict[str, Any] | None = None,
        start_task_elevated: bool = False,
        start_task_environment: dict[str, str] | None = None,
        start_task_retries: int = 0,
        ssh_from: list[str] | None = None,
        metadata: dict[str, str] | None = None,
        task_slots_per_node: int = 1,
        resize_timeout: Duration | None = None,
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
        preflight: bool | None = None,
        body: str | dict[str, Any] | None = None,
        expires_in: Duration | None = None,
        if_exists: IfExists = "reuse",
        deletion_limit: Duration = timedelta(minutes=15),
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.pool_id, self.image, self.vm_size = pool_id, image, vm_size
        self.dedicated_nodes, self.spot_nodes, self.start_task = dedicated_nodes, spot_nodes, start_task
        self.start_task_elevated, self.start_task_retries = start_task_elevated, start_task_retries
        self.start_task_environment = start_task_environment or {}
        self.ssh_from, self.metadata = ssh_from or [], metadata or {}
        self.task_slots_per_node, self.resize_timeout = task_slots_per_node, resize_timeout
        self.display_name, self.body, self.autoscale = display_name, body, autoscale
        self.network, self.storage, self.security = network, storage, security
        self.containers, self.software = containers, software
        self.user_accounts, self.scheduling = user_accounts, scheduling
        self.identities, self.tags, self.preflight = identities or [], tags or {}, preflight
        self.expires_in, self.if_exists = expires_in, if_exists
        self.deletion_limit, self.deferrable = deletion_limit, deferrable
        self._check_form()

    def _check_form(self) -> None:
        require_one_form(self)
        hide_parts(self)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render, and mark the secrets before Airflow stores the rendered fields."""
        super().render_template_fields(context, jinja_env)
        hide_parts(self)

    def execute(self, context: Context) -> dict[str, Any]:
        """Create or find the pool, and return what it became."""
        from airflow_provider_batchlinux.client.api.management import management_for
        from airflow_provider_batchlinux.client.pools.create import PoolBusyError, ensure_pool

        settings = self.hook.settings()
        wish = pool_wish(self, context, settings)
        require_entra(wish.spec, settings)
        is_managed = require_management(wish.spec, settings)

        async def story(client: BatchLinuxClient) -> EnsuredPool:
            async with management_for(settings, required=is_managed, preflight=self.preflight) as plane:
                return await ensure_pool(client, wish, plane)

        BatchLinuxPoolLink.persist(context, settings, wish.spec.pool_id)
        try:
            with secrets_untold(wish.spec):
                pool = self.hook.run(story, settings=settings)
        except PoolBusyError as busy:
            self.log.info("%s", busy)
            self._wait_elsewhere(wish, is_going=busy.is_going)
        self.log.info("Pool %r is %s.", pool.pool_id, "created" if pool.created else "there already")
        return pool.to_result()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when nothing is in the way any more, or raise what the trigger reports."""
        result_of(event)
        return self.execute(context)

    def _wait_elsewhere(self, wish: PoolRequest, *, is_going: bool) -> NoReturn:
        waiting = BatchLinuxPoolGoneTrigger if is_going else BatchLinuxPoolSteadyTrigger
        trigger = waiting(
            pool_id=wish.spec.pool_id,
            batch_linux_conn_id=self.batch_linux_conn_id,
            poll_interval=_POLL_INTERVAL,
            deadline=wish.deadline,
        )
        defer_to(self, trigger)


_DELETE_POLICIES = ("always", "on_success", "keep_on_failure")


class BatchLinuxDeletePoolOperator(BatchLinuxWaitingOperator):
    """
    Delete a pool with its nodes; a pool that is gone already is fine.

    Commands of :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator` that have not
    ended on it never will: their jobs are deleted too.

    Made to be a teardown: ``delete.as_teardown(setups=create)``.

    Result in XCom: ``pool_id`` and ``deleted`` (``False`` when there was no such pool, or it was kept).

    :param pool_id: the pool's id. (templated)
    :param policy: ``always`` deletes it; ``on_success`` keeps it when a task of the Dag run has failed, until
        its own end by ``expires_in``, or without one until somebody deletes it, which the sweeper does not;
        ``keep_on_failure`` keeps it then for ``keep_for``, after which
        :class:`~airflow_provider_batchlinux.operators.sweeper.BatchLinuxSweepPoolsOperator` deletes it. All
        nodes of a pool that is kept are paid for.
    :param keep_for: how long ``keep_on_failure`` keeps the pool, as a pendulum duration, ``timedelta`` or
        seconds.
    :param wait: go on until the service knows the pool no more, so that nothing is billed and its id is
        free again. ``False`` returns as soon as the service has taken the request.
    :param timeout: how long to wait at most, as a pendulum duration, ``timedelta`` or seconds. The
        deletion goes on at the service also after that.
    :param poll_interval: how long between two looks, as a pendulum duration, ``timedelta`` or seconds.
    :param deferrable: wait on the triggerer and free the worker; the default is Airflow's
        ``[operators] default_deferrable``.
    :param batch_linux_conn_id: the connection to the Batch account. (templated)
    """

    ui_color = "#f3e3d8"

    def __init__(
        self,
        *,
        pool_id: str,
        policy: Literal["always", "on_success", "keep_on_failure"] = "always",
        keep_for: Duration = timedelta(hours=24),
        wait: bool = True,
        timeout: Duration = timedelta(hours=1),
        poll_interval: Duration = timedelta(seconds=10),
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_id=pool_id, **kwargs)
        self.wait, self.deferrable = wait, deferrable
        self.timeout, self.poll_interval = timeout, poll_interval
        if policy not in _DELETE_POLICIES:
            msg = f"policy={policy!r} is not one of {', '.join(_DELETE_POLICIES)}."
            raise ValueError(msg)
        self.policy, self.keep_for = policy, keep_for

    async def submit(self, client: BatchLinuxClient, context: Context) -> Step:
        """Delete the pool, unless the policy keeps it."""
        from airflow_provider_batchlinux.client.tasks.jobs import end_orphans

        arguments = self.trigger_arguments(context)
        if self.policy != "always" and (failed := failed_tasks(context)):
            await self._keep(client, failed)
            return {"pool_id": self.pool_id, "deleted": False}
        found = await client.delete_pool(self.pool_id)
        self.log.info("Pool %r: %s.", self.pool_id, "deletion asked for" if found else "there is none")
        await end_orphans(client, self.pool_id, self.account.id_prefix)
        if found and self.wait:
            return BatchLinuxPoolGoneTrigger(**arguments)
        return {"pool_id": self.pool_id, "deleted": found}

    async def finish(
        self,
        client: BatchLinuxClient,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        trigger: BatchLinuxTrigger,  # noqa: ARG002
        result: dict[str, Any],
    ) -> Step:
        """Return that the pool was deleted."""
        return {**result, "deleted": True}

    async def _keep(self, client: BatchLinuxClient, failed: list[str]) -> None:
        from airflow_provider_batchlinux.client.pools.metadata import change_metadata
        from airflow_provider_batchlinux.core.pool_metadata import with_expiry, with_keep
        from airflow_provider_batchlinux.core.text import joined

        why = f"Pool {self.pool_id!r} is kept, because tasks of the Dag run have failed: {joined(failed)}."
        now = datetime.now(timezone.utc)
        until = None if self.policy == "on_success" else expiry_of(self.keep_for, None, now)

        def kept(marks: Mapping[str, str]) -> dict[str, str]:
            return with_keep(marks, now) if until is None else with_expiry(marks, until)

        await change_metadata(client, self.pool_id, kept)
        if until is None:
            self.log.warning("%s All its nodes are paid for until its end, or somebody deletes it.", why)
        else:
            self.log.warning("%s The sweeper may delete it after %s.", why, f"{until:%Y-%m-%d %H:%M} UTC")
