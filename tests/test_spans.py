"""Tasks over documents with spans, through lm-eval: our reading of a document once and lm-eval's own, span by span."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from methodbench.builtin.plain import PlainLM
from methodbench.builtin.plain_config import PlainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.evaluate import load_task
from methodbench.runtime import GenerationLM
from tests.test_documents import TOKENIZERS, model_for, spans_of

TASK = """
task: local_spans
class: !function methodbench.spans.SpansTask
dataset_path: json
test_split: test
output_type: loglikelihood
process_results: !function tests.test_spans.process
metric_list:
  - {metric: total, aggregation: mean, higher_is_better: true}
  - {metric: greedy, aggregation: mean, higher_is_better: true}
metadata: {version: 1}
"""
TEXTS = [
    "the cat sat on the mat. the dog sat on the cat",
    "again and again, and the cat ran",
    "the dog sat on the mat. the cat sat on the dog",
    "the mat. the cat",
]


def process(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """Weights tell the spans apart: their order is part of the sum."""
    weighted = sum(weight * total for weight, (total, _) in enumerate(results, start=1))
    return {"total": weighted, "greedy": sum(greedy for _, greedy in results)}


def documents() -> list[dict[str, Any]]:
    """Spans out of order, and overlapping."""
    return [{"text": text, "spans": spans_of(text)[:: -1 if place % 2 else 1]} for place, text in enumerate(TEXTS)]


@pytest.fixture
def task(tmp_path: Path) -> Any:
    (tmp_path / "spans.yaml").write_text(TASK)
    data = tmp_path / "spans.jsonl"
    data.write_text("".join(json.dumps(doc) + "\n" for doc in documents()))
    return load_task(tmp_path / "spans.yaml", data)


def evaluated(lm: Any, task: Any) -> dict[str, Any]:
    found: dict[str, Any] = lm_eval.evaluator.evaluate(
        lm=lm,
        task_dict={"tasks": {"local_spans": task}, "groups": {}, "group_map": {}},
        bootstrap_iters=0,
        log_samples=True,
    )
    return found


def scores(results: dict[str, Any]) -> list[list[tuple[float, bool]]]:
    samples = sorted(results["samples"]["local_spans"], key=lambda sample: sample["doc_id"])
    return [
        [(float(total), greedy in (True, "True")) for total, greedy in sample["filtered_resps"]] for sample in samples
    ]


def lm_evals(tokenizer: Any, **hflm: Any) -> HFLM:
    """Its cache would take a span for another one that ends at the same place."""
    return HFLM(pretrained=model_for(tokenizer), tokenizer=tokenizer, batch_size=2, logits_cache=False, **hflm)


class WatchedLM(PlainLM):
    """Counts passes and the contexts around them, and has a number for every row."""

    passes = 0
    opened = 0

    def around(self) -> AbstractContextManager[Any]:
        self.opened += 1
        return nullcontext()

    def reading_record(self, row: int) -> dict[str, Any]:
        return {"row": row}


def ours(tokenizer: Any, kind: Any = WatchedLM, **hflm: Any) -> Any:
    model = model_for(tokenizer)
    lm = kind(
        Checkpoint(Path("pico")),
        PlainConfig(),
        **{"pretrained": model, "tokenizer": tokenizer, "batch_size": 4, **hflm},
    )

    def count(*_: Any) -> None:
        lm.passes += 1

    model.register_forward_pre_hook(count)
    return lm


@pytest.mark.parametrize("name", TOKENIZERS)
def test_one_pass_gives_the_likelihoods_of_lm_evals_own_requests(name: str, task: Any) -> None:
    tokenizer = TOKENIZERS[name]()
    theirs = evaluated(lm_evals(tokenizer), task)
    lm = ours(tokenizer)
    found = evaluated(lm, task)
    for left, right in zip(scores(found), scores(theirs), strict=True):
        assert [greedy for _, greedy in left] == [greedy for _, greedy in right]
        assert [total for total, _ in left] == pytest.approx([total for total, _ in right], abs=1e-3)
    for metric in ("total", "greedy"):
        key = f"{metric},none"
        assert found["results"]["local_spans"][key] == pytest.approx(theirs["results"]["local_spans"][key], abs=1e-2)
    lengths = {len(tokenizer.encode(text)) for text in TEXTS}
    assert lm.passes == len(lengths) < len(TEXTS) and lm.opened == 1
    for item, text in enumerate(TEXTS):
        assert lm.generations["local_spans", item, 0]["prompt_tokens"] == len(tokenizer.encode(text))
    assert [lm.generations["local_spans", item, 0]["row"] for item in (0, 2)] == [0, 1]


@pytest.mark.parametrize("added", [True, False])
def test_a_token_before_the_text_is_added_as_lm_eval_is_told(added: bool, task: Any) -> None:
    tokenizer = TOKENIZERS["a token before the text"]()
    told = {"add_bos_token": added}
    theirs = evaluated(lm_evals(tokenizer, **told), task)
    lm = ours(tokenizer, **told)
    for left, right in zip(scores(evaluated(lm, task)), scores(theirs), strict=True):
        assert [total for total, _ in left] == pytest.approx([total for total, _ in right], abs=1e-3)
    assert lm.generations["local_spans", 3, 0]["prompt_tokens"] == len(
        tokenizer.encode(TEXTS[3], add_special_tokens=added)
    )


def requests() -> list[Instance]:
    """A document's spans in another order than its own, another document between them, and a plain request."""
    first, second = documents()[:2]
    made = [
        Instance("loglikelihood", doc, ("", ""), idx, metadata=("t", item, 1))
        for item, doc, idx in ((0, first, 3), (1, second, 0), (0, first, 0), (0, first, 3), (1, second, 2))
    ]
    return [*made[:2], Instance("loglikelihood", {}, ("the cat", " sat"), 0, metadata=("t", 7, 1)), *made[2:]]


def test_answers_come_in_the_order_of_the_requests() -> None:
    tokenizer = TOKENIZERS["words"]()
    lm = ours(tokenizer)
    found = lm.loglikelihood(requests(), disable_tqdm=True)
    by_hand = lm_evals(tokenizer)
    spelled = [Instance("loglikelihood", {}, spell(request), 0, metadata=("t", 0, 1)) for request in requests()]
    want = by_hand.loglikelihood(spelled, disable_tqdm=True)
    assert [total for total, _ in found] == pytest.approx([total for total, _ in want], abs=1e-4)
    assert found[0] == found[4] != found[3]
    assert set(lm.generations) == {("t", 0, 0), ("t", 1, 0)}


def spell(request: Instance) -> tuple[str, str]:
    """A request with its texts written out."""
    if "spans" not in request.doc:
        return request.args
    start, end, _ = request.doc["spans"][request.idx]
    return request.doc["text"][:start], request.doc["text"][start:end]


def test_a_killed_job_reads_only_what_it_has_not_read(tmp_path: Path) -> None:
    """Readings come back from the journal as they were, records and all."""
    tokenizer = TOKENIZERS["words"]()
    whole = ours(tokenizer, batch_size=1)
    expected = whole.loglikelihood(requests(), disable_tqdm=True)

    def lm(**settings: Any) -> Any:
        made = ours(tokenizer, batch_size=1)
        made.journal, made.settings = tmp_path / "journal.jsonl", PlainConfig(**settings)
        return made

    part = lm()
    part.loglikelihood(requests()[:1], disable_tqdm=True)
    assert part.passes == 1
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"key": "torn')
    rest = lm()
    assert rest.loglikelihood(requests(), disable_tqdm=True) == expected
    assert rest.passes == 2, "the second document and the plain request"
    assert rest.generations == whole.generations
    other = lm(temperature=1.0)
    other.loglikelihood(requests()[:2], disable_tqdm=True)
    assert other.passes == 2, "other settings are another reading"


def test_a_kill_keeps_what_was_read(tmp_path: Path) -> None:
    class KilledLM(WatchedLM):
        def reading_record(self, row: int) -> dict[str, Any]:
            if self.passes == 2:
                raise KeyboardInterrupt
            return super().reading_record(row)

    killed = ours(TOKENIZERS["words"](), KilledLM, batch_size=1)
    killed.journal = tmp_path / "journal.jsonl"
    with pytest.raises(KeyboardInterrupt):
        killed.loglikelihood(requests(), disable_tqdm=True)
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 1


def test_a_document_longer_than_the_model() -> None:
    lm = ours(TOKENIZERS["words"](), GenerationLM, max_length=10)
    with pytest.raises(UserError, match=r"^a document has 13 tokens, more than the model's 10$"):
        lm.loglikelihood(requests(), disable_tqdm=True)


def test_a_span_with_nothing_before_it() -> None:
    text = TEXTS[3]
    wrong = Instance("loglikelihood", {"text": text, "spans": [[0, 3, "x"]]}, ("", ""), 0, metadata=("t", 0, 1))
    with pytest.raises(UserError, match=r"^document: the span 'the' at 0 has no token or nothing before it$"):
        ours(TOKENIZERS["words"]()).loglikelihood([wrong], disable_tqdm=True)


def test_every_span_is_a_request_that_any_model_can_answer(task: Any) -> None:
    doc = documents()[1]
    made = task.construct_requests(doc, "", metadata=("local_spans", 1, 1), apply_chat_template=False)
    assert [request.args for request in made] == [
        (doc["text"][:start], doc["text"][start:end]) for start, end, _ in doc["spans"]
    ]
    assert [request.idx for request in made] == list(range(len(doc["spans"])))
    assert torch.is_grad_enabled()
