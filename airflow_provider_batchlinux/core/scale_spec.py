"""How a pool grows and how its tasks spread; imports only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from airflow_provider_batchlinux.core.instants import iso8601_duration
from airflow_provider_batchlinux.core.spec_base import Spec

__all__ = ["AutoscaleSpec", "SchedulingSpec"]


@dataclass(frozen=True)
class AutoscaleSpec(Spec):
    """
    A formula that sets the number of nodes, instead of fixed numbers.

    The service tries a formula out only on a pool that exists.

    :param formula: the formula, such as one of :mod:`airflow_provider_batchlinux.core.autoscale_formulas`.
    :param interval: how often it is worked out, 5 minutes to a week, as a duration or seconds; ``None`` is
        the service's 15 minutes.
    """

    formula: str
    interval: timedelta | float | None = None

    REST: ClassVar[Mapping[str, str]] = {
        "formula": "autoScaleFormula",
        "interval": "autoScaleEvaluationInterval",
    }

    def to_rest(self) -> dict[str, Any]:
        """Build the service's body."""
        body = {"enableAutoScale": True, **super().to_rest()}
        if isinstance(self.interval, (int, float)):
            body["autoScaleEvaluationInterval"] = iso8601_duration(self.interval)
        return body


@dataclass(frozen=True)
class SchedulingSpec(Spec):
    """
    How tasks are spread over a pool's nodes.

    :param fill: ``spread`` gives each node as few tasks as possible, ``pack`` fills one node after the other.
    :param job_order: which job's tasks go first at the same priority: ``none`` or ``creationtime``; ``None``
        is the service's default, ``none``.
    """

    fill: str = "spread"
    job_order: str | None = None

    REST: ClassVar[Mapping[str, str]] = {"fill": "nodeFillType", "job_order": "jobDefaultOrder"}
