"""
Evaluates the autoscale formulas of pools, and scales the pools by them.

The language (``lexer``, ``syntax``, ``values``, ``functions``, ``metrics``, ``evaluator``) is pure:
it knows no service, no clock and no chance. ``scaler`` brings it to the pools.
"""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.autoscale.evaluator import Scene, Targets, evaluate
from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaError

__all__ = ["FormulaError", "Scene", "Targets", "evaluate"]
