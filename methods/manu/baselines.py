"""The methods that MANU is compared with, as declarations. No torch here."""

from __future__ import annotations

from methodbench.method import Method

BASELINES: list[Method] = []
