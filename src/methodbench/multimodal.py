"""The base of every runtime that shows pictures: an lm-eval LM over an image-text model, greedy.

Requests are lm-eval's, ``(context, settings[, {"visual": [PIL]}])`` to generate and ``(context, continuation[, {…}])``
for likelihoods, with one ``<image>`` in the context for each picture. Those without pictures are run on the text alone.
A method overrides `prompt`, which sees every context before it is encoded.

Departures from lm-eval's HFMultimodalLM, on purpose: it takes instances of model and processor; likelihoods may have
pictures; a picture is processed once; finished generations are kept in a journal. Sampling is refused: no seed of a row
would survive another batch.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.hf_vlms import HFMultimodalLM
from lm_eval.models.utils import normalize_gen_kwargs, resolve_max_length
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig, ProcessorMixin, StoppingCriteria, StoppingCriteriaList

from methodbench.checkpoint import Checkpoint
from methodbench.completion import end_ids
from methodbench.decoding import Generation
from methodbench.errors import UserError, nearest
from methodbench.journal import Journal
from methodbench.progress import Progress
from methodbench.stopping import Thinking, UntilStop, cut
from methodbench.visual import PLACEHOLDER, Inputs, collate, pad_id

SLOTS = 32
UNBOUNDED = 1 << 30  # tokens, where neither model nor tokenizer names a limit
GEN_KWARGS = {"until", "max_gen_toks", "do_sample", "temperature"}
NAMES = {"max_new_tokens", "max_tokens", "max_completion_tokens"}  # other names of the limit


@dataclass(frozen=True)
class _Prompt:
    """What one request gives the model. Image tensors are left to the cache of `Inputs`, which has a limit."""

    text: str
    tokens: Mapping[str, Tensor]  # [T] each
    visuals: tuple[Image.Image, ...] = ()
    names: tuple[str, ...] = ()  # the pictures' digests

    @property
    def length(self) -> int:
        return len(self.tokens["input_ids"])


@dataclass(frozen=True)
class _Job:
    """One generating request."""

    place: tuple[str, int, int]  # task, item, repeat
    prompt: _Prompt
    until: tuple[str, ...]
    limit: int  # new tokens


class MultimodalLM(HFMultimodalLM):
    """An lm-eval LM of an image-text checkpoint.

    Args:
        checkpoint: where the model lies; it is loaded unless `hflm` has ``pretrained`` (the model) and ``tokenizer``
            (its processor).
        config: the method's own settings (a dataclass), kept as `settings`.
        hflm: arguments of lm-eval's class (``batch_size`` is 32 unless given), and ``seed``, which changes nothing.

    Attributes:
        generations: (task, item, repeat) -> the numbers and flags of score.py's sample line.
        journal: a file in which finished generations are kept while the job runs, and from which it goes on.
        on_progress: called with (done, total, tokens per second) at most once a second.

    Raises:
        UserError: the checkpoint reads text only.
    """

    _max_length: int | None  # lm-eval's

    def __init__(self, checkpoint: Checkpoint, config: Any, **hflm: Any) -> None:
        self.seed = int(hflm.pop("seed", 0))
        hflm.setdefault("batch_size", SLOTS)
        if "pretrained" not in hflm:
            hflm["pretrained"], hflm["tokenizer"] = checkpoint.load()
        if not isinstance(hflm["tokenizer"], ProcessorMixin):
            raise UserError(f"{checkpoint.path}: is no image-text checkpoint; this runtime shows pictures")
        self.inputs = Inputs(hflm["tokenizer"])
        # lm-eval warns about being given a model instead of a name, and about model types that it does not know.
        logger = logging.getLogger("lm_eval.models.huggingface")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            super().__init__(image_string=self.inputs.processor.image_token, **hflm)
        finally:
            logger.setLevel(level)
        if self._max_length is None:  # lm-eval cuts prompts at 2048 tokens where a model names no limit
            self._max_length = resolve_max_length(self.model.config, self.tokenizer, default=UNBOUNDED)
        self.checkpoint, self.settings = checkpoint, config
        self.generations: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.journal: Path | None = None
        self.on_progress: Callable[[int, int, float], None] | None = None
        self._signature: str | None = None
        self._cuts = "logits_to_keep" in inspect.signature(self.model.forward).parameters

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, *_: Any, **__: Any) -> None:
        """lm-eval's class keeps a given processor nowhere."""
        self.processor, self.tokenizer = tokenizer, tokenizer.tokenizer

    # -- what a method overrides --------------------------------------------------------------------------------------

    def prompt(self, text: str) -> str:
        """The context that the model gets where a task asks `text`; as many ``<image>`` must be in it."""
        return text

    # -- lm-eval's side -----------------------------------------------------------------------------------------------

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answers of all requests, in their order; what else is known of them is in `generations`.

        Raises:
            UserError: an unknown or a sampling setting, or a prompt that leaves no room for the answer.
        """
        jobs = self._jobs(requests)
        keys = [self._key(job) for job in jobs]
        journal = Journal(self.journal, Generation)
        done = {place: journal.known[key] for place, key in enumerate(keys) if key in journal.known}
        progress = Progress(self.on_progress, len(jobs), len(done))
        groups: dict[tuple[Any, ...], list[int]] = {}
        for place, job in enumerate(jobs):
            if place not in done:
                groups.setdefault((job.until, job.limit, bool(job.prompt.names)), []).append(place)
        try:
            for places in groups.values():
                for batch in self._batches(places, [jobs[place].prompt.length for place in places]):
                    for place, generation in zip(batch, self._generate([jobs[p] for p in batch]), strict=True):
                        done[place] = generation
                        journal.add(keys[place], generation)
                        progress.add(len(generation.tokens))
        finally:
            journal.flush()
        return [self._answer(job, done[place]) for place, job in enumerate(jobs)]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Of each continuation its log-probability, and whether greedy decoding gives it, in the requests' order.

        Context and continuation are encoded as one text, as lm-eval does it; blanks at the context's end belong to the
        continuation, and an empty context is the token that begins texts.
        """
        whole, counts = zip(*(self._pair(request) for request in requests), strict=True) if requests else ((), ())
        found: dict[int, tuple[float, bool]] = {}
        progress = Progress(self.on_progress, len(requests), 0)
        for seen in (True, False):
            places = [place for place, prompt in enumerate(whole) if bool(prompt.names) == seen]
            for batch in self._batches(places, [whole[place].length for place in places]):
                starts = [whole[place].length - counts[place] - 1 for place in batch]
                logits = self._logits([whole[place] for place in batch], min(starts))
                for place, start, row in zip(batch, starts, logits, strict=True):
                    wanted = whole[place].tokens["input_ids"][-counts[place] :].to(row.device)
                    logs = row[start - min(starts) :][: counts[place]].log_softmax(-1)
                    greedy = bool((logs.argmax(-1) == wanted).all())
                    found[place] = float(logs.gather(1, wanted[:, None]).sum()), greedy
                    progress.add(whole[place].length)
        return [found[place] for place in range(len(requests))]

    def apply_chat_template(self, chat_history: list[dict[str, Any]], add_generation_prompt: bool = True) -> str:
        """The processor's template, in whose text pictures are ``<image>`` again."""
        copied = [dict(message) for message in chat_history]  # lm-eval writes into them
        text = str(super().apply_chat_template(copied, add_generation_prompt))
        return text.replace(self.inputs.placeholder, PLACEHOLDER)

    def clear(self) -> None:
        """Forget the generations of the tasks so far."""
        self.generations = {}

    @property
    def slots(self) -> int:
        """Most rows that run together."""
        return int(self.batch_size)

    @property
    def eos_ids(self) -> set[int]:
        """Ids that end a row: the tokenizer's and those of the model's generation settings."""
        return end_ids(self.model, self.tokenizer)

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _generate(self, jobs: Sequence[_Job]) -> list[Generation]:
        """Greedy continuations of jobs with equal settings; ends when all rows have ended."""
        batch = self._batch([job.prompt for job in jobs], "left")
        width = batch["input_ids"].shape[1]
        ends = sorted(self.eos_ids)
        stop = _Stop(self, jobs, width)
        kept = self.model.generation_config
        # What a published model's settings say of sampling or repetition would leak into every answer.
        self.model.generation_config = GenerationConfig()
        try:
            with torch.no_grad():
                rows = self.model.generate(
                    **batch,
                    generation_config=GenerationConfig(
                        do_sample=False,
                        max_new_tokens=jobs[0].limit,
                        eos_token_id=ends or None,
                        pad_token_id=pad_id(self.tokenizer),
                    ),
                    stopping_criteria=StoppingCriteriaList([stop] if jobs[0].until else []),
                )
        finally:
            self.model.generation_config = kept
        return [_ended(row[width:].tolist(), set(ends), at) for row, at in zip(rows, stop.ended, strict=True)]

    def _logits(self, prompts: Sequence[_Prompt], start: int) -> Tensor:
        """[B, T - start, V]: the logits from position `start` on."""
        batch = self._batch(prompts, "right")  # so that positions, whose angles are float32, are a row's own
        width = batch["input_ids"].shape[1]
        keep = {"logits_to_keep": torch.arange(start, width, device=self.device)} if self._cuts else {}
        with torch.no_grad():
            logits: Tensor = self.model(**batch, **keep).logits
        return logits if keep else logits[:, start:]

    def _batch(self, prompts: Sequence[_Prompt], side: str) -> dict[str, Tensor]:
        """Padded on a side, on the model's device, pictures in its precision."""
        images = [self.inputs(p.text, p.visuals, p.names)[1] if p.names else {} for p in prompts]
        rows = [{**prompt.tokens, **shown} for prompt, shown in zip(prompts, images, strict=True)]
        batch = collate(rows, pad_id(self.tokenizer), side)
        return {
            name: tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else None)
            for name, tensor in batch.items()
        }

    def _batches(self, places: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
        """Longest rows first, rows of like length together."""
        order = sorted(range(len(places)), key=lambda index: (-lengths[index], places[index]))
        for start in range(0, len(order), self.slots):
            yield [places[index] for index in order[start : start + self.slots]]

    # -- one request --------------------------------------------------------------------------------------------------

    def _jobs(self, requests: Iterable[Instance]) -> list[_Job]:
        repeats: Counter[tuple[str, int]] = Counter()
        jobs = []
        for instance in requests:
            until, limit = self._limits(instance)
            item = (str(instance.task_name), int(instance.doc_id or 0))
            place = (*item, repeats[item])
            repeats[item] += 1
            prompt = self._encode(self.prompt(instance.args[0]), _visuals(instance))
            if prompt.length + limit > self.max_length:
                raise UserError(
                    f"{instance.task_name}: a prompt has {prompt.length} tokens and 'max_gen_toks' is {limit}; the "
                    f"model has {self.max_length} positions"
                )
            jobs.append(_Job(place, prompt, until, limit))
        return jobs

    def _limits(self, instance: Instance) -> tuple[tuple[str, ...], int]:
        given = instance.args[1]
        where = f"{instance.task_name}: generation_kwargs"
        for name in sorted(set(given) - GEN_KWARGS - NAMES):
            raise UserError(f"{where}: unknown key '{name}'; {nearest(name, GEN_KWARGS)}")
        if given.get("do_sample") or given.get("temperature"):
            key = "do_sample" if given.get("do_sample") else "temperature"
            raise UserError(f"{where}: key '{key}': given {given[key]}; with pictures decoding is greedy")
        limits = normalize_gen_kwargs(given, self.max_gen_toks)
        return tuple(string for string in limits["until"] if string), int(limits["max_gen_toks"])

    def _pair(self, request: Instance) -> tuple[_Prompt, int]:
        """A likelihood's whole text, encoded, and how many tokens at its end are the continuation."""
        context, continuation = self.prompt(request.args[0]), request.args[1]
        visuals = _visuals(request)
        blanks = len(context) - len(context.rstrip())
        if blanks:
            context, continuation = context[:-blanks], context[-blanks:] + continuation
        if not context:
            ids = torch.tensor([self.prefix_token_id, *self.tok_encode(continuation, add_special_tokens=False)])
            whole, count = _Prompt(continuation, {"input_ids": ids}), len(ids) - 1
        else:
            whole = self._encode(context + continuation, visuals)
            count = whole.length - self._encode(context, visuals).length
        if not 0 < count < whole.length <= self.max_length:
            raise UserError(
                f"{request.task_name}: a prompt and its option have {whole.length} tokens, {count} of them the "
                f"option's; the option needs one at least, and the model has {self.max_length} positions"
            )
        return whole, count

    def _encode(self, text: str, visuals: Sequence[Image.Image]) -> _Prompt:
        names = tuple(_digest(image) for image in visuals)
        return _Prompt(text, self.inputs(text, visuals, names)[0], tuple(visuals), names)

    def _key(self, job: _Job) -> str:
        """Names everything that a generation depends on, short of the model itself."""
        if self._signature is None:  # the same for every job, and slow to spell out
            own = [type(self).__qualname__, asdict(self.settings), sorted(self.eos_ids)]
            self._signature = json.dumps(own, sort_keys=True, default=str)
        parts = [self._signature, job.prompt.text, job.prompt.names, job.until, job.limit]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _answer(self, job: _Job, generation: Generation) -> str:
        """The text of a generation up to the first stop string; notes the sample's numbers and flags on the way."""
        answer = cut(str(self.tok_decode(generation.tokens)), job.until)
        self.generations[job.place] = {
            "response": str(self.tok_decode(generation.tokens, skip_special_tokens=False)),
            "tokens": len(generation.tokens),
            "latent": 0,
            "forced": 0,
            "finish": generation.finish,
            "truncated": int(generation.finish == "length"),
            "unclosed": 0,
            "empty": int(not answer.strip()),
            "prompt_tokens": job.prompt.length,
        }
        return answer


class _Stop(StoppingCriteria):
    """Ends a row whose text holds a stop string.

    Attributes:
        ended: of each row the number of its tokens then, 0 as long as there is none.
    """

    def __init__(self, lm: MultimodalLM, jobs: Sequence[_Job], width: int) -> None:
        self.width, self.ended = width, [0] * len(jobs)
        if jobs[0].until:
            vocabulary = lm.model.get_input_embeddings().weight.shape[0]
            prompts: list[list[int]] = [[] for _ in jobs]
            self.until = UntilStop(lm.tokenizer, vocabulary, jobs[0].until, Thinking(), prompts)

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        triggers = self.until.triggers.to(input_ids.device)[input_ids[:, -1]]
        for row in triggers.nonzero().flatten().tolist():
            tokens = input_ids[row, self.width :].tolist()
            if not self.ended[row] and self.until(row, tokens):
                self.ended[row] = len(tokens)
        return torch.tensor([bool(end) for end in self.ended], device=input_ids.device)


def _ended(tokens: list[int], ends: set[int], stopped: int) -> Generation:
    """A row of a batch up to where it ended; what follows is padding."""
    for place, token in enumerate(tokens[: stopped or None], 1):
        if token in ends:
            return Generation(tokens[:place], "eos")
    return Generation(tokens[:stopped], "stop") if stopped else Generation(tokens, "length")


def _visuals(instance: Instance) -> list[Image.Image]:
    """A request's pictures; lm-eval's third argument, where there is one."""
    further = instance.args[2] if len(instance.args) > 2 else {}
    return [image.convert("RGB") for image in further.get("visual") or []]


def _digest(image: Image.Image) -> str:
    """sha256 over the size and the pixels of an RGB picture."""
    return hashlib.sha256(f"{image.size} ".encode() + image.tobytes()).hexdigest()
