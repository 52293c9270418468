"""A task of lm-eval whose requests have different prompts and one continuation. The only file here that knows lm-eval.

For WinoGrande lm-eval does so by giving `doc_to_text` the place of the right answer; here columns keep their meaning.
"""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask


class FilledTask(ConfigurableTask):
    """Asks how likely an item's `rest` is behind each of its options."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Instance]:
        """The requests in the order of the options; `ctx`, the empty prompt, stands before them."""
        requests: list[Instance] = super().construct_requests(doc, ctx, **kwargs)
        for request, option in zip(requests, doc["options"], strict=True):
            request.arguments = (f"{ctx}{option}", doc["rest"])
        return requests
