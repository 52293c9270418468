"""AmoebaLLM (arXiv 2411.10606, NeurIPS 2024): subnets of any depth and width from one fine-tuning. No torch here."""

from __future__ import annotations

from methodbench.method import Method

METHODS: list[Method] = []
