"""Specifications of a pool's autoscale formula, and of its scheduling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.parameters.spec import Spec


@dataclass(frozen=True)
class AutoscaleSpec(Spec):
    """
    A formula that sets the number of nodes, instead of fixed numbers.

    The service evaluates a formula only on a pool that exists.

    .. code-block:: python

        AutoscaleSpec(by_pending_tasks(max_dedicated=1, max_spot=20), interval=300)

    :param formula: the formula, such as one of :mod:`airflow_provider_batchlinux.specs`.
    :param interval: the time between two evaluations, 5 minutes to 7 days, as a duration or seconds; ``None``
        is the service's default of 15 minutes.
    """

    formula: str
    interval: timedelta | float | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "formula": "autoScaleFormula",
        "interval": "autoScaleEvaluationInterval",
    }

    def to_rest(self) -> dict[str, Any]:
        """Return the part of the REST body."""
        body = {"enableAutoScale": True, **super().to_rest()}
        if isinstance(self.interval, (int, float)):
            body["autoScaleEvaluationInterval"] = iso8601_duration(self.interval)
        return body


@dataclass(frozen=True)
class SchedulingSpec(Spec):
    """
    The placement of a pool's nodes, and how tasks are distributed over them.

    .. code-block:: python

        SchedulingSpec(placement="zonal", fill="pack")

    :param placement: ``regional``, or ``zonal`` over availability zones; ``None`` is the service's default,
        ``regional``.
    :param fill: ``spread`` gives each node as few tasks as possible, ``pack`` fills one node after the other;
        ``None`` is the service's default, ``spread``.
    :param job_order: which job's tasks run first at the same priority: ``none`` or ``creationtime``; ``None``
        is the service's default, ``none``.
    """

    placement: str | None = None
    fill: str | None = None
    job_order: str | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "placement": "virtualMachineConfiguration.nodePlacementConfiguration.policy",
        "fill": "taskSchedulingPolicy.nodeFillType",
        "job_order": "taskSchedulingPolicy.jobDefaultOrder",
    }
