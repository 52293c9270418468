"""The base of every runtime that generates: an lm-eval LM on top of our decode loop.

Everything but `generate_until` is lm-eval's own HFLM, unchanged: loglikelihoods, chat templates, tokenising. A method
overrides `policy` (and perhaps `sampling` or `prompt_ids`), or opens a context `around` every pass of the model, and is
then usable on any lm-eval task:

    lm_eval.simple_evaluate(model=PlainLM(Checkpoint(Path("model")), PlainConfig()), tasks=["gsm8k"])

Departures from HFLM.generate_until, on purpose: stop strings act on the answer only, never inside thinking; rows have
their own seeds, so a sample does not depend on batch size; an answer is split at the last closing token, and without
one the whole output counts as the answer and the sample is flagged as unclosed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs, resolve_max_length
from transformers import ProcessorMixin

from methodbench.architectures import misfit
from methodbench.checkpoint import Checkpoint
from methodbench.completion import end_ids
from methodbench.decoding import Generation, Request, decode
from methodbench.documents import Document, Reading, encode, read
from methodbench.errors import UserError, nearest
from methodbench.journal import Journal
from methodbench.policy import Ordinary, Policy
from methodbench.progress import Progress
from methodbench.sampling import Sampling, stable_seed
from methodbench.stopping import Thinking, UntilStop, cut, single_token

GEN_KWARGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_k", "top_p", "min_p", "seed"}
SLOTS = 32
UNBOUNDED = 1 << 30  # tokens: a state-space model has no position table that ends


@dataclass(frozen=True)
class _Job:
    """One lm-eval request, made ready for the decode loop."""

    place: tuple[str, int, int]  # task, item, repeat
    request: Request
    sampling: Sampling
    until: tuple[str, ...]
    cut_from_prompt: int  # leading prompt tokens that did not fit


class GenerationLM(HFLM):
    """An lm-eval LM that generates with the decode loop.

    Args:
        checkpoint: where the model lies; it is loaded unless `hflm` has ``pretrained`` and ``tokenizer`` instances.
        config: the method's own settings (a dataclass), kept as `settings`.
        hflm: arguments of HFLM (``batch_size`` is the number of slots, 32 unless given), and ``seed``, of which every
            row's seed is made.

    Attributes:
        thinking: ids of the tokens around thinking; found in the tokenizer by `think_open` and `think_close`.
        generations: (task, item, repeat) -> the numbers and flags of score.py's sample line.
        journal: a file in which finished generations are kept while the job runs, and from which it goes on.
        on_progress: called with (done, total, tokens per second) at most once a second.
    """

    think_open, think_close = "<think>", "</think>"
    _max_length: int | None  # HFLM's

    def __init__(self, checkpoint: Checkpoint, config: Any, **hflm: Any) -> None:
        self._signature: str | None = None
        self.seed = int(hflm.pop("seed", 0))
        hflm.setdefault("batch_size", SLOTS)
        if "pretrained" not in hflm:
            hflm["pretrained"], hflm["tokenizer"] = checkpoint.load()
        if isinstance(hflm.get("tokenizer"), ProcessorMixin):
            raise UserError(f"{checkpoint.path}: {misfit(hflm['pretrained'].config.model_type, pictures=False)}")
        # HFLM warns twice about being given a model instead of a name, which is how all our jobs use it.
        logger = logging.getLogger("lm_eval.models.huggingface")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            super().__init__(**hflm)
        finally:
            logger.setLevel(level)
        if self._max_length is None:  # lm-eval cuts prompts at 2048 tokens where a model names no limit
            self._max_length = resolve_max_length(self.model.config, self.tokenizer, default=UNBOUNDED)
        self.checkpoint, self.settings = checkpoint, config
        self.thinking = Thinking(
            single_token(self.tokenizer, self.think_open), single_token(self.tokenizer, self.think_close)
        )
        self.generations: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.journal: Path | None = None
        self.on_progress: Callable[[int, int, float], None] | None = None

    # -- what a method overrides --------------------------------------------------------------------------------------

    def policy(self, sampling: Sampling, max_new_tokens: int) -> Policy:
        """A fresh policy for one batch of requests of equal settings."""
        return Ordinary()

    def sampling(self, gen_kwargs: Mapping[str, Any]) -> Sampling:
        """How tokens are drawn, from the task's generation settings as lm-eval reads them.

        Sampling is on if ``do_sample`` says so, or if a temperature above 0 is given and ``do_sample`` is not.
        """
        temperature = gen_kwargs.get("temperature")
        on = gen_kwargs.get("do_sample")
        if temperature == 0 or not (bool(temperature) if on is None else on):
            return Sampling()
        given = {name: gen_kwargs[name] for name in ("temperature", "top_k", "top_p", "min_p") if name in gen_kwargs}
        return Sampling(do_sample=True, **given)

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of a rendered prompt."""
        return list(self.tok_encode(text))

    def around(self) -> AbstractContextManager[Any]:
        """A context around everything that passes through the model."""
        return nullcontext()

    def reading_record(self, row: int) -> dict[str, Any]:
        """Numbers of one row of the last pass over documents, for its sample line."""
        return {}

    # -- lm-eval's side -----------------------------------------------------------------------------------------------

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answers of all requests, in their order; what else is known of them is in `generations`."""
        jobs = self._jobs(requests)
        keys = [self._key(job) for job in jobs]
        journal = Journal(self.journal, Generation)
        done = {place: journal.known[key] for place, key in enumerate(keys) if key in journal.known}
        progress = Progress(self.on_progress, len(jobs), len(done))
        groups: dict[tuple[Sampling, tuple[str, ...], int], list[int]] = {}
        for place, job in enumerate(jobs):
            if place not in done:
                groups.setdefault((job.sampling, job.until, job.request.max_new_tokens), []).append(place)
        try:
            for (sampling, until, limit), places in groups.items():

                def note(index: int, generation: Generation, places: list[int] = places) -> None:
                    done[places[index]] = generation
                    journal.add(keys[places[index]], generation)
                    progress.add(len(generation.tokens))

                self._decode([jobs[place].request for place in places], sampling, until, limit, note)
        finally:
            journal.flush()
        return [self._answer(job, done[place]) for place, job in enumerate(jobs)]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """lm-eval's own, but a document with spans (`spans.py`) is read once for all of them."""
        places: dict[tuple[str, int], list[int]] = {}
        for place, request in enumerate(requests):
            if "spans" in (request.doc or {}):
                places.setdefault((str(request.task_name), int(request.doc_id or 0)), []).append(place)
        found: dict[int, tuple[float, bool]] = {}
        readings = self._read([requests[indices[0]].doc for indices in places.values()])
        for (item, indices), (document, reading) in zip(places.items(), readings, strict=True):
            for index in indices:
                total, greedy = reading.scores[requests[index].idx]  # a list where it comes from the journal
                found[index] = (total, greedy)
            self.generations[*item, 0] = {"prompt_tokens": len(document.ids), **reading.record}
        rest = [place for place in range(len(requests)) if place not in found]
        if rest:
            answers = super().loglikelihood([requests[place] for place in rest], disable_tqdm)
            found |= dict(zip(rest, answers, strict=True))
        return [found[place] for place in range(len(requests))]

    def clear(self) -> None:
        """Forget the generations of the tasks so far."""
        self.generations = {}

    @property
    def think_end_id(self) -> int | None:
        """The token that closes thinking; None where the model has none."""
        return self.thinking.close_id

    @property
    def slots(self) -> int:
        """Most rows decoded together: the batch size, or for "auto" its upper bound."""
        size = self.batch_size
        return size if isinstance(size, int) else int(self.max_batch_size or SLOTS)

    @property
    def eos_ids(self) -> set[int]:
        """Ids that end a row: the tokenizer's and those of the model's generation settings."""
        return end_ids(self.model, self.tokenizer)

    def _decode(
        self,
        requests: Sequence[Request],
        sampling: Sampling,
        until: tuple[str, ...],
        max_new_tokens: int,
        note: Callable[[int, Generation], None],
    ) -> None:
        vocabulary = self.model.get_input_embeddings().weight.shape[0]
        prompts = [request.prompt for request in requests]
        with self.around():
            decode(
                self.model,
                requests,
                self.policy(sampling, max_new_tokens),
                sampling,
                slots=self.slots,
                eos_ids=self.eos_ids,
                stop=UntilStop(self.tokenizer, vocabulary, until, self.thinking, prompts) if until else None,
                on_finish=note,
            )

    def _model_call(self, *arguments: Any, **named: Any) -> torch.Tensor:
        with self.around():
            logits: torch.Tensor = super()._model_call(*arguments, **named)
            return logits

    def _read(self, docs: Sequence[Mapping[str, Any]]) -> list[tuple[Document, Reading]]:
        """Every document's spans scored, from the journal where it is known already."""
        if not docs:
            return []
        given = {} if self.add_bos_token is None else {"add_special_tokens": self.add_bos_token}
        documents = [encode(self.tokenizer, doc["text"], doc["spans"], **given) for doc in docs]
        for document in documents:
            if len(document.ids) > self.max_length:
                raise UserError(f"a document has {len(document.ids)} tokens, more than the model's {self.max_length}")
        keys = [self._digest(document.ids, document.spans) for document in documents]
        journal = Journal(self.journal, Reading)
        done = {place: journal.known[key] for place, key in enumerate(keys) if key in journal.known}
        progress = Progress(self.on_progress, len(documents), len(done))
        pending = [place for place in range(len(documents)) if place not in done]
        try:
            with self.around():
                for index, row, scored in read(self.model, [documents[place] for place in pending], self.slots):
                    place = pending[index]
                    done[place] = replace(scored, record=self.reading_record(row))
                    journal.add(keys[place], done[place])
                    progress.add(len(documents[place].ids))
        finally:
            journal.flush()
        return [(document, done[place]) for place, document in enumerate(documents)]

    def _jobs(self, requests: Iterable[Instance]) -> list[_Job]:
        repeats: Counter[tuple[str, int]] = Counter()
        jobs = []
        for instance in requests:
            text, gen_kwargs = instance.args
            unknown = sorted(set(gen_kwargs) - GEN_KWARGS - {"max_new_tokens", "max_tokens", "max_completion_tokens"})
            if unknown:
                raise UserError(
                    f"{instance.task_name}: generation_kwargs: unknown key '{unknown[0]}'; "
                    f"{nearest(unknown[0], GEN_KWARGS)}"
                )
            limits = normalize_gen_kwargs(gen_kwargs, self.max_gen_toks)
            max_new_tokens = int(limits["max_gen_toks"])
            room = self.max_length - max_new_tokens
            if room < 1:
                raise UserError(
                    f"{instance.task_name}: generation_kwargs: key 'max_gen_toks': given {max_new_tokens}, allowed: "
                    f"less than the model's {self.max_length} positions"
                )
            item = (str(instance.task_name), int(instance.doc_id or 0))
            place = (*item, repeats[item])
            repeats[item] += 1
            ids = self.prompt_ids(text)
            seed = stable_seed(gen_kwargs.get("seed", self.seed), *place, text)
            until = tuple(string for string in limits["until"] if string)
            request = Request(ids[-room:], seed, max_new_tokens)
            jobs.append(_Job(place, request, self.sampling(gen_kwargs), until, max(0, len(ids) - room)))
        return jobs

    def _key(self, job: _Job) -> str:
        """Names everything that a generation depends on, short of the model itself."""
        request = job.request
        return self._digest(request.prompt, request.seed, request.max_new_tokens, str(job.sampling), job.until)

    def _digest(self, *parts: Any) -> str:
        if self._signature is None:  # the same for every job, and slow to spell out
            ends = [sorted(self.eos_ids), asdict(self.thinking)]
            own = [type(self).__qualname__, asdict(self.settings), ends]
            self._signature = json.dumps(own, sort_keys=True, default=str)
        return hashlib.sha256(json.dumps([self._signature, *parts]).encode()).hexdigest()

    def _answer(self, job: _Job, generation: Generation) -> str:
        """The answer in a generation's text; notes the sample's numbers and flags on the way."""
        tokens = generation.tokens
        start = self.thinking.answer_start(job.request.prompt, tokens)
        answer = str(self.tok_decode(tokens[start or 0 :]))
        if start is not None:
            answer = cut(answer.lstrip() if start else answer, job.until)
        self.generations[job.place] = {
            "response": str(self.tok_decode(tokens, skip_special_tokens=False)),
            "tokens": len(tokens),
            "latent": generation.latent,
            "forced": generation.forced,
            "finish": generation.finish,
            "truncated": int(generation.finish == "length"),
            "unclosed": int(start is None),
            "empty": int(not answer.strip()),
            "prompt_tokens": len(job.request.prompt),
            "prompt_cut": job.cut_from_prompt,
            **generation.record,
        }
        return answer
