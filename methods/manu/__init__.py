"""MANU (arXiv 2502.15910): multimodal models forget persons by zeroing the neurons that matter to them. No torch here."""

from __future__ import annotations

from methodbench.method import Method
from methods.manu.baselines import BASELINES

METHODS: list[Method] = [*BASELINES]
