"""
The language of autoscale formulas: parser, types, functions, metrics and evaluator.

It is pure: time, samples and random numbers are passed in. ``pools.scaler`` applies formulas to pools.
"""

from __future__ import annotations

from airflow_provider_batchlinux.emulator.autoscale.evaluator import Scene, Targets, evaluate
from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaError

__all__ = ["FormulaError", "Scene", "Targets", "evaluate"]
