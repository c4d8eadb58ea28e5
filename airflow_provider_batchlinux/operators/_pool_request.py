"""Turn the rendered fields of the create operator into a request."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_batchlinux.core.ids import derived_id
from airflow_provider_batchlinux.core.instants import expiry_of, optional_seconds
from airflow_provider_batchlinux.core.pools.changes import IF_EXISTS
from airflow_provider_batchlinux.exceptions import BatchLinuxError
from airflow_provider_batchlinux.operators._base import owner_of, runs_ended

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.bases.operator import BaseOperator

    from airflow_provider_batchlinux.client.pools.create import PoolRequest
    from airflow_provider_batchlinux.client.transport.account import AccountSettings
    from airflow_provider_batchlinux.core.pools.spec.base import PoolDefinition
    from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec

log = logging.getLogger(__name__)

PARTS = (
    "autoscale",
    "network",
    "storage",
    "security",
    "containers",
    "software",
    "user_accounts",
    "scheduling",
)
"""The parameters that take only a spec object, or a dict with its fields; ``PoolSpec`` has their classes."""

_BODY_REPLACES = (
    "vm_size",
    "dedicated_nodes",
    "spot_nodes",
    "start_task",
    "start_task_environment",
    "ssh_from",
    "metadata",
    "resize_timeout",
    "display_name",
    *PARTS,
)

_FINGERPRINT_PLACE = "{fingerprint}"
_FINGERPRINT_LENGTH = 12

_BODY_FILES = (".json", ".yaml", ".yml")


def require_one_form(operator: Any) -> None:
    """
    Check while the Dag is parsed that the parameters can be combined.

    :raises ValueError: if they cannot; all problems, one a line.
    """
    problems: list[str] = []
    if operator.body is None:
        problems += [
            f"{name} is missing." for name in ("image", "vm_size") if getattr(operator, name) is None
        ]
    else:
        given = [name for name in _BODY_REPLACES if getattr(operator, name)]
        given += ["task_slots_per_node"] if operator.task_slots_per_node != 1 else []
        problems += [f"{name} and body are both given; write it into the body." for name in given]
    if operator.start_task is not None and not isinstance(operator.start_task, str):
        names = [f"start_task_{name}" for name in ("elevated", "environment", "retries")]
        says = "is for a start_task given as text; write it into the StartTaskSpec."
        problems += [f"{name} {says}" for name in names if getattr(operator, name)]
    if operator.if_exists not in IF_EXISTS:
        problems.append(f"if_exists={operator.if_exists!r} is not one of {', '.join(IF_EXISTS)}.")
    if problems:
        raise ValueError("\n".join(problems))


def hide_parts(operator: Any, resolved: set[int]) -> None:
    """
    Replace spec objects by dicts, and mark the secrets in them and in the body for Airflow to mask.

    :param resolved: the ids of values that Airflow does not render; those of their replacements are added.
    """
    given = {name: getattr(operator, name) for name in ("start_task", *PARTS)}
    parts = {name: value for name, value in given.items() if not isinstance(value, str | None)}
    if operator.body is None and not parts:
        return
    # Imported here, so that no Dag file pays for it.
    from airflow.sdk.log import mask_secret

    from airflow_provider_batchlinux.core.pools.spec.base import hidden_spec
    from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
    from airflow_provider_batchlinux.core.pools.validation.schema import hidden_body
    from airflow_provider_batchlinux.core.secrets import secrets_in

    hidden = {name: hidden_spec(PoolSpec.PARTS[name], value) for name, value in parts.items()}
    parts["body"], hidden["body"] = operator.body, hidden_body(operator.body)
    for name, value in hidden.items():
        if id(parts[name]) in resolved:
            resolved.add(id(value))
        setattr(operator, name, value)
    for secret in secrets_in(list(hidden.values())):
        if "{{" not in secret:
            mask_secret(secret)


def pool_request(operator: Any, context: Context, settings: AccountSettings) -> PoolRequest:
    """
    Return the request of a create operator, from its rendered fields.

    :raises ValueError: if its pool cannot work; all problems, one a line.
    """
    from airflow_provider_batchlinux.client.pools.create import PoolRequest

    now = datetime.now(timezone.utc)
    expires_at = expiry_of(operator.expires_in, None, now) if operator.expires_in is not None else None
    owner = owner_of(context)
    return PoolRequest(
        spec=_pool_of(operator, context, derived_id(*owner.values(), prefix=settings.id_prefix)),
        owner={**owner, "instance": settings.id_prefix},
        has_ended=runs_ended(context, settings.id_prefix),
        needed_until=expires_at or now,
        expires_at=expires_at,
        now=now,
        if_exists=operator.if_exists,
        preflight=operator.preflight is not False,
    )


def _pool_of(operator: Any, context: Context, derived_id: str) -> PoolDefinition:
    """
    Return the pool that an operator's rendered fields define.

    :param derived_id: the pool's id if none is given.
    :raises ValueError: if it cannot work; all problems, one a line.
    """
    from airflow_provider_batchlinux.core.images.query import ImageQuery

    pool: PoolSpec | RawPool
    problems: list[str] = []
    if operator.body is None:
        pool = _spec_from(operator, operator.pool_id or derived_id, problems)
    else:
        from airflow_provider_batchlinux.core.pools.spec.raw import RawPool

        body = _body_from(operator, operator.body, context)
        pool_id = operator.pool_id or body.get("id") or derived_id
        pool = RawPool(body, pool_id, operator.image, operator.identities or (), operator.tags or {})
    if _FINGERPRINT_PLACE in pool.pool_id:
        digest = pool.fingerprint()[-_FINGERPRINT_LENGTH:]
        pool = replace(pool, pool_id=pool.pool_id.replace(_FINGERPRINT_PLACE, digest))
    problems += pool.problems()
    try:
        ImageQuery.parse(pool.image) if pool.image is not None else None
    except ValueError as error:
        problems += str(error).splitlines()
    if problems:
        raise ValueError("\n".join(problems))
    for warning in pool.warnings():
        log.warning("%s It is sent to the service as it is.", warning)
    return pool


def require_entra(pool: PoolDefinition, settings: AccountSettings) -> None:
    """
    Raise ValueError if the pool needs an Entra token, and the connection has an account key.

    The service would refuse the key with "authentication failed", whatever the property.
    """
    from airflow_provider_batchlinux.client.transport.account import AuthKind
    from airflow_provider_batchlinux.core.images.query import GivenImage, ImageQuery
    from airflow_provider_batchlinux.core.pools.validation.rules import entra_only
    from airflow_provider_batchlinux.core.pools.validation.schema import rest_name

    if settings.auth is not AuthKind.SHARED_KEY:
        return
    body = pool.to_rest()
    image = ImageQuery.parse(pool.image or "").subject
    if isinstance(image, GivenImage):
        body["virtualMachineConfiguration"]["imageReference"] = image.reference
    names = [pool.name_of(path) or rest_name(path) for path in entra_only(body)]
    if names:
        remedy = "the connection has an account key; give it an Entra identity (auth)."
        raise ValueError("\n".join(f"{name} needs a caller with an Entra token: {remedy}" for name in names))


def require_management(pool: PoolDefinition, settings: AccountSettings) -> bool:
    """
    Return whether a pool needs the management plane.

    :raises ValueError: if it does, and the connection cannot reach it.
    """
    given = [name for name in ("identities", "tags") if getattr(pool, name)]
    given += ["vm_size"] if isinstance(pool.vm_size, Mapping) else []
    gaps = settings.management_gaps() if given else []
    if gaps:
        verb = "needs" if len(given) == 1 else "need"
        lack = ", ".join(gaps)
        msg = f"{' and '.join(given)} {verb} the management plane, for which the connection lacks {lack}."
        raise ValueError(msg)
    return bool(given)


@contextmanager
def secrets_hidden(pool: PoolDefinition) -> Iterator[None]:
    """Mask a pool's secrets in the log, and remove them from errors in which the service repeats them."""
    from airflow.sdk.log import mask_secret

    from airflow_provider_batchlinux.core.secrets import hide_in_error

    secrets = pool.secrets()
    for secret in secrets:
        mask_secret(secret)
    try:
        yield
    except BatchLinuxError as error:
        hide_in_error(error, secrets)
        raise


def _spec_from(operator: Any, pool_id: str, problems: list[str]) -> PoolSpec:
    """Return the spec of an operator's fields; ``problems`` collects what is wrong with their form."""
    from airflow_provider_batchlinux.core.pools.spec.base import read_part
    from airflow_provider_batchlinux.core.pools.spec.pool import PoolSpec
    from airflow_provider_batchlinux.core.secrets import revealed

    given = {name: revealed(getattr(operator, name)) for name in PARTS}
    given["start_task"] = _start_task(operator)
    if isinstance(given["autoscale"], str):
        given["autoscale"] = {"formula": given["autoscale"]}
    parts = {name: read_part(PoolSpec.PARTS[name], value, name, problems) for name, value in given.items()}
    return PoolSpec(
        pool_id=pool_id,
        image=operator.image,
        vm_size=operator.vm_size,
        dedicated_nodes=operator.dedicated_nodes,
        spot_nodes=operator.spot_nodes,
        ssh_from=operator.ssh_from or (),
        metadata=operator.metadata or {},
        task_slots_per_node=operator.task_slots_per_node,
        resize_timeout=optional_seconds("resize_timeout", operator.resize_timeout),
        display_name=operator.display_name,
        identities=operator.identities or (),
        tags=operator.tags or {},
        **{**parts, "user_accounts": parts["user_accounts"] or ()},
    )


def _body_from(operator: BaseOperator, body: str | Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """
    Return the REST body.

    A file is rendered here, and not with the other fields, so that Airflow stores no secret of it.

    :param body: the body, or the name of its file, which Airflow's template search path finds.
    :raises ValueError: if there is no such file, or it contains no body.
    """
    from airflow_provider_batchlinux.core.secrets import revealed

    content = _file_content(operator, body, context) if isinstance(body, str) else revealed(body)
    if isinstance(content, Mapping):
        return content
    msg = f"body{f'={body!r}' if isinstance(body, str) else ''} contains no mapping of properties."
    raise ValueError(msg)


def _start_task(operator: Any) -> Any:
    from airflow_provider_batchlinux.core.secrets import revealed

    if not isinstance(operator.start_task, str):
        return revealed(operator.start_task)
    return {
        "command": operator.start_task,
        "elevated": operator.start_task_elevated,
        "environment": operator.start_task_environment or {},
        "max_retries": operator.start_task_retries,
    }


def _file_content(operator: BaseOperator, name: str, context: Context) -> Any:
    import json

    import jinja2
    import yaml

    if not name.endswith(_BODY_FILES):
        msg = f"body={name!r} does not end in {', '.join(_BODY_FILES)}; give such a file, or a dict."
        raise ValueError(msg)
    environment = operator.get_template_env()
    try:
        source = environment.loader.get_source(environment, name)[0] if environment.loader else ""
    except jinja2.TemplateNotFound:
        msg = f"body={name!r} is not found beside the Dag file or in its template_searchpath."
        raise ValueError(msg) from None
    text = operator.render_template(source, context, environment)
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        # The text of the error quotes the file, which may contain a secret.
        msg = f"body={name!r} is not {'JSON' if name.endswith('.json') else 'YAML'}{_place_of(error)}."
        raise ValueError(msg) from None


def _place_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else getattr(error, "lineno", None)
    return f" from line {line} on" if line is not None else ""
