"""What every runtime promises: a sample depends on its item, its settings and its seed, and on nothing else.

Every runtime of the smoke studies, with its settings there, decodes the same few items on a random pico model whose
tokenizer knows the words of the items and of the settings. All through lm-eval, as the evaluate job does it. Where the
smoke study puts a transform between its pretrained model and the runtime, it stands between here, too. A runtime of
image-text checkpoints runs on a pico LLaVA.

The model is a float64 one, so that everything is compared exactly. In float32 a batch of another size moves the last
bit of the matrix products; a runtime that feeds mixtures carries that bit on until, on a random model, it turns tokens.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks

from methodbench.architectures import misfit
from methodbench.builtin.multimodal_config import MultimodalConfig
from methodbench.builtin.plain_config import PlainConfig
from methodbench.builtin.pretrain import word_tokenizer
from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.evaluate import load_task, sample_line
from methodbench.joblog import Log
from methodbench.method import Method, Traits
from methodbench.nodes import CheckpointNode, DatasetNode, Pair
from methodbench.transform import prepare
from tests import pico, pico_vision
from tests.contract.found import METHODS, ROOT, smoke_checkpoints, smoke_pairs

ITEMS, TOKENS = 6, 40
ARCHITECTURES = ("qwen3", "llama", "mamba", "gpt2", "mamba2", "llava")  # the first that a runtime fits
PICTURES = ("image", "png")  # keys of rows that hold pictures, not words
PAIRS = smoke_pairs()
CHECKPOINTS = smoke_checkpoints()
PLAIN, SHOWN = METHODS["plain"], METHODS["multimodal"]
Samples = list[dict[str, Any]]


@dataclass
class Bench:
    """One loaded pico checkpoint and one task, on which runtimes are tried."""

    folder: Path
    pair: Pair
    rows: list[dict[str, Any]]

    @cached_property
    def loaded(self) -> tuple[PreTrainedModel, Any]:
        return Checkpoint(self.folder).load(dtype=torch.float64)

    @cached_property
    def task(self) -> Any:
        family, task = self.pair.dataset.family, self.pair.task
        return load_task(family.folder(ROOT) / task.yaml, self.pair.dataset.path / f"{task.split}.jsonl", TOKENS)

    def runtime(self, method: Method, config: Any, slots: int = 4, seed: int = 0) -> Any:
        model, tokenizer = self.loaded
        given = {"pretrained": model, "tokenizer": tokenizer, "batch_size": slots, "seed": seed}
        return method.load()(Checkpoint(self.folder), config, **given, **method.keywords)

    def run(self, method: Method, config: Any, slots: int = 4, seed: int = 0) -> Samples:
        """The sample lines of the first items, as the evaluate job would write them."""
        lm = self.runtime(method, config, slots, seed)
        results = lm_eval.evaluator.evaluate(
            lm=lm,
            task_dict={"tasks": {self.task.config.task: self.task}, "groups": {}, "group_map": {}},
            limit=ITEMS,
            bootstrap_iters=0,
            log_samples=True,
        )
        (name,) = results["samples"]
        logged = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
        return [sample_line(s, lm.generations.get((name, s["doc_id"], 0), {}), self.pair.task) for s in logged]

    def answers(self, method: Method, config: Any, items: list[int]) -> list[str]:
        """Answers of some items in one call, on a fresh runtime."""
        settings = {"until": [], "max_gen_toks": TOKENS}
        shown = self.task.config.doc_to_image is not None
        requests = []
        for item in items:
            doc = self.rows[item]
            further = ({"visual": self.task.doc_to_image(doc)},) if shown else ()
            arguments = (self.task.doc_to_text(doc), dict(settings), *further)
            requests.append(Instance("generate_until", {}, arguments, 0, metadata=("t", item, 1)))
        return list(self.runtime(method, config).generate_until(requests))


def words_of(value: Any) -> list[str]:
    """All texts in a config or a row, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return words_of([inner for key, inner in value.items() if key not in PICTURES])
    return [word for item in value for word in words_of(item)] if isinstance(value, list | tuple) else []


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bench]:
    """The bench of a pair: its own task's items, on the first architecture that its runtime fits."""
    place = tmp_path_factory.mktemp("contract")
    made: dict[tuple[str, ...], Bench] = {}

    def of(pair: Pair) -> Bench:
        kind, node = architecture(pair), CHECKPOINTS[pair.checkpoint_identity]
        dataset = here(pair.dataset, place)
        key = (kind, str(dataset.path), pair.task.name, node.identity if node.parents else "")
        if key not in made:
            rows = read(dataset, pair.task.split)
            folder = place / f"{kind}-{len(made)}"
            alike = [other for other in PAIRS.values() if other.dataset.identity == dataset.identity]
            write_reasoner(folder, kind, [*words_of(rows), *settings_texts(alike)])
            made[key] = Bench(descendant(node, folder, place), replace(pair, dataset=dataset), rows)
        return made[key]

    return of


def here(dataset: DatasetNode, place: Path) -> DatasetNode:
    """A dataset of a smoke study, prepared in the scratch folder `place`."""
    moved = replace(dataset, place=place / dataset.place.name)
    prepare(moved, Log("contract", stream=io.StringIO()))
    return moved


def read(dataset: DatasetNode, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (dataset.path / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def descendant(node: CheckpointNode, root: Path, place: Path) -> Path:
    """What the smoke study's transforms make of `root`.

    It stands for every checkpoint without a parent, and for one made of something else: a LLaVA around a vision tower.
    """
    if not node.parents or any(parent.traits.architecture != node.traits.architecture for parent in node.parents):
        return root
    parents = [Checkpoint(descendant(parent, root, place), parent.name) for parent in node.parents]
    data = {name: here(dataset, place).path / f"{split}.jsonl" for name, (dataset, split) in node.data.items()}
    out = root.with_name(f"{root.name}-{node.name}")
    log = Log("contract", stream=io.StringIO())
    node.method.load()(
        parents=parents, data=data, config=node.config, seed=node.seed, out=out, log=log, **node.method.keywords
    )
    return out


def architecture(pair: Pair) -> str:
    """The smoke study's own if its transforms are to run on it; if there are none, the first that the runtime fits."""
    node = CHECKPOINTS[pair.checkpoint_identity]
    if node.parents and node.traits.architecture:
        return node.traits.architecture
    for kind in ARCHITECTURES:
        traits = Traits(architecture=kind, tokens=frozenset(PretrainConfig().special_tokens))
        reason = misfit(kind, pair.method.pictures)
        if (reason or (pair.method.fits and pair.method.fits(pair.config, traits))) is None:
            return kind
    raise AssertionError(f"{pair.method.name}: fits none of {', '.join(ARCHITECTURES)}")


def settings_texts(pairs: list[Pair]) -> list[str]:
    """Texts that runtimes may put into a transcript: those of the smoke settings and of the defaults."""
    configs = [config for pair in pairs for config in (pair.config, parse(pair.method.config, {}, pair.runtime))]
    return [text for config in configs for text in words_of(asdict(config))]


def write_reasoner(folder: Path, kind: str, texts: list[str]) -> None:
    """A random model that thinks in words; <think> and </think> are single tokens, as is <image> where it sees."""
    if kind == "llava":
        words = word_tokenizer(texts, PretrainConfig(special_tokens=("<image>", "USER:", "ASSISTANT:")))
        pico_vision.model(kind, words=words).save_pretrained(folder)
        pico_vision.processor(kind, words).save_pretrained(folder)
        return
    tokenizer = word_tokenizer(texts, PretrainConfig())
    assert tokenizer.convert_tokens_to_ids(["<|pad|>", "<|end|>", "<think>", "</think>"]) == [
        pico.PAD,
        pico.EOS,
        pico.THINK,
        pico.END_THINK,
    ]
    model = pico.model(kind)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# -- the promises ------------------------------------------------------------------------------------------------------


def check_a_seed_repeats_its_samples(bench: Bench, method: Method, config: Any) -> Samples:
    samples = bench.run(method, config)
    assert bench.run(method, config) == samples, "the same seed gives other samples"
    return samples


def check_neighbours_change_nothing(bench: Bench, method: Method, config: Any) -> None:
    assert bench.run(method, config, slots=1) == bench.run(method, config, slots=4), "slots change the samples"
    together = bench.answers(method, config, [0, 1])
    apart = [*bench.answers(method, config, [0]), *bench.answers(method, config, [1])]
    assert together == apart, "two items together are not the two apart"


def check_the_model_is_left_as_it_was(bench: Bench, method: Method, config: Any) -> None:
    bench = Bench(bench.folder, bench.pair, bench.rows)  # a model that no earlier run has touched
    model = bench.loaded[0]
    if method.pictures:
        install_transformers_hooks(model)
    before = state_of(model)
    bench.run(method, config)
    after = state_of(model)
    for what in before:
        assert after[what] == before[what], f"the model's {what} changed"


def install_transformers_hooks(model: PreTrainedModel) -> None:
    """Hooks that transformers leaves on a vision tower when its hidden states are first asked for; they are its own."""
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            maybe_install_capturing_hooks(part)


def state_of(model: PreTrainedModel) -> dict[str, Any]:
    """Everything about a model that a runtime could leave changed."""
    total = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        total.update(name.encode() + tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    modules = list(model.named_modules())
    return {
        "weights": total.hexdigest(),
        "hooks": [
            (name, kind, len(getattr(module, kind)))
            for name, module in modules
            for kind in vars(module)
            if kind.endswith("_hooks") and getattr(module, kind)
        ],
        "attributes": [(name, sorted(vars(module))) for name, module in modules],
        "mode": [(name, module.training) for name, module in modules],
        "gradients": [(name, tensor.requires_grad, tensor.grad) for name, tensor in model.named_parameters()],
        "config": model.config.to_json_string(),
        "generation settings": model.generation_config.to_json_string(),
    }


def plain_of(bench: Bench, method: Method) -> Samples:
    """What ordinary greedy decoding gives where `method` runs."""
    return bench.run(SHOWN, MultimodalConfig()) if method.pictures else bench.run(PLAIN, PlainConfig())


def check_the_neutral_setting_is_plain_decoding(bench: Bench, method: Method, config: Any) -> None:
    if method.neutral is None:
        return
    values = {**asdict(config), **method.neutral}
    neutral = bench.run(method, parse(method.config, values, f"{method.name}: neutral"))
    plain = plain_of(bench, method)
    for key in ("response", "answer", "tokens", "finish"):
        ours, theirs = [sample[key] for sample in neutral], [sample[key] for sample in plain]
        assert ours == theirs, "the neutral setting is not plain decoding"


# -- over all runtimes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", PAIRS)
def test_a_runtime_keeps_its_promises(arm: str, bench: Callable[..., Bench]) -> None:
    method, config, place = PAIRS[arm].method, PAIRS[arm].config, bench(PAIRS[arm])
    samples = check_a_seed_repeats_its_samples(place, method, config)
    check_neighbours_change_nothing(place, method, config)
    check_the_model_is_left_as_it_was(place, method, config)
    check_the_neutral_setting_is_plain_decoding(place, method, config)
    assert len(samples) == ITEMS
    for sample in samples:
        assert 1 <= sample["tokens"] <= TOKENS
        assert 0 <= sample["forced"] <= sample["tokens"] and 0 <= sample["latent"] <= sample["tokens"]
        assert sample["finish"] in ("eos", "stop", "length", "budget")
        json.dumps(sample)


FIRST_ARMS = {pair.method.name: arm for arm, pair in reversed(PAIRS.items()) if pair.method.role == "method"}


@pytest.mark.parametrize("arm", FIRST_ARMS.values())
def test_a_method_does_something(arm: str, bench: Callable[..., Bench]) -> None:
    """Otherwise that its neutral setting equals plain decoding would say nothing. Greedy, where it could sample."""
    place, method, values = bench(PAIRS[arm]), PAIRS[arm].method, asdict(PAIRS[arm].config)
    if "do_sample" in values:
        values["do_sample"] = False
    ours = [sample["response"] for sample in place.run(method, parse(method.config, values, arm))]
    assert ours != [sample["response"] for sample in plain_of(place, method)]


def test_plain_decoding_keeps_its_promises_and_its_samples_differ(bench: Callable[..., Bench]) -> None:
    """The yardstick itself; and items that all got one answer could not tell rows apart."""
    place = bench(PAIRS[next(iter(FIRST_ARMS.values()))])
    for config in (PlainConfig(), PlainConfig(temperature=1.0)):
        samples = check_a_seed_repeats_its_samples(place, PLAIN, config)
        check_neighbours_change_nothing(place, PLAIN, config)
        check_the_model_is_left_as_it_was(place, PLAIN, config)
        assert len({sample["response"] for sample in samples}) == ITEMS
    assert place.run(PLAIN, PlainConfig(temperature=1.0), seed=1) != samples


@pytest.mark.parametrize(
    ("entry", "check", "said"),
    [
        ("ForgetfulLM", check_a_seed_repeats_its_samples, "the same seed gives other samples"),
        ("CrowdedLM", check_neighbours_change_nothing, "slots change the samples"),
        ("LeavingAHookLM", check_the_model_is_left_as_it_was, "the model's hooks changed"),
        ("PatchingLM", check_the_model_is_left_as_it_was, "the model's attributes changed"),
        ("EditingLM", check_the_model_is_left_as_it_was, "the model's weights changed"),
        ("OtherLM", check_the_neutral_setting_is_plain_decoding, "the neutral setting is not plain decoding"),
    ],
)
def test_a_broken_promise_is_noticed(
    entry: str, check: Callable[..., Any], said: str, bench: Callable[..., Bench]
) -> None:
    broken = Method(
        name=entry,
        kind="runtime",
        entry=f"tests.contract.broken:{entry}",
        config=PlainConfig,
        summary="",
        neutral={},
    )
    place = bench(PAIRS[next(iter(FIRST_ARMS.values()))])
    scratch = Bench(place.folder, place.pair, place.rows)  # a model of its own to break
    with pytest.raises(AssertionError, match=said):
        check(scratch, broken, PlainConfig())
