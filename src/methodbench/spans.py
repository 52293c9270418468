"""An lm-eval task over documents of which several places are scored: one likelihood a span.

A document is ``{"text": ..., "spans": [[start, end, kind], ...]}`` with places in characters; a span begins with the
blank before its first word, as lm-eval's continuations do. Every span is an ordinary likelihood request, (text before
it, span), so that any lm-eval model can be scored; one of ours reads the document once for all of them
(`documents.py`).

In a task's YAML: ``class: !function methodbench.spans.SpansTask``, ``output_type: loglikelihood``, and
``process_results`` as a function of (document, [(log-likelihood, is greedy), ...]) in the order of the spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask


class SpansTask(ConfigurableTask):
    """A task whose documents name the spans to be scored."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        plain = {name: value for name, value in config.items() if name != "class"}
        super().__init__(config={"doc_to_text": "", "doc_to_target": "", **plain})

    def construct_requests(self, doc: Mapping[str, Any], ctx: str, **named: Any) -> list[Instance]:
        """One likelihood request a span."""
        for name in ("apply_chat_template", "chat_template"):
            named.pop(name, None)
        text = doc["text"]
        return [
            Instance(
                request_type="loglikelihood",
                doc=dict(doc),
                arguments=(text[:start], text[start:end]),
                idx=place,
                **named,
            )
            for place, (start, end, _) in enumerate(doc["spans"])
        ]

    def process_results(self, doc: Mapping[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
        """The metrics of one document, from the function that the YAML names."""
        found: dict[str, float] = self.config.process_results(doc, results)
        return found
