"""A task of lm-eval whose two requests have different prompts and pictures. The only file here that knows lm-eval."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from methodbench.visual import decode_picture


class PairedTask(ConfigurableTask):
    """Asks how likely an item's `value` is behind its `cloze`, and behind its `other_cloze`.

    lm-eval's own tasks vary the prompt of a choice, but show one picture to all choices. Only the value is compared:
    it is the one token of an answer that is not known from the question, so its likelihood is that of the least likely
    tokens, which a min-k % attack averages (M§4.4).
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Instance]:
        """The request about the person to be forgotten, then the one about the other."""
        requests: list[Instance] = super().construct_requests(doc, ctx, **kwargs)
        contexts = (ctx, ctx.replace(doc["cloze"], doc["other_cloze"]))
        pictures = (doc["image"], doc["other_image"])
        for request, context, picture in zip(requests, contexts, pictures, strict=True):
            # The last argument holds what lm-eval puts there for tasks with pictures.
            shown = [{"visual": [decode_picture(picture)]}] if self.config.doc_to_image else []
            request.arguments = (context, f" {doc['value']}", *shown)
        return requests
