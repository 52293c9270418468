"""Every paper config: its graph reads, and it runs from fetch to report on pico stand-ins of the same architectures.

What is changed of a config for that: where its models, tokenizers and rows come from, how many items and tokens are
made, that lengths fit such models (`AT_MOST`), and that a sweep or a choice keeps the first two values of a key.
Everything else is what a lab would run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.tasks._yaml_loader import load_yaml

from methodbench import evaluate as evaluating
from methodbench.builtin.fetch import from_hub
from methodbench.builtin.fetch_config import FetchConfig
from methodbench.checkpoint import Checkpoint
from methodbench.claims import VERDICTS
from methodbench.config import read_yaml
from methodbench.context import ReportContext
from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.joblog import Log
from methodbench.nodes import CheckpointNode, EvaluateNode, Pair, StudyGraph
from methodbench.report import render
from methodbench.score import Score, read_samples, samples_path
from methodbench.transform import prepare, transform
from tests import pico_vision
from tests.conftest import ROOT
from tests.workflow import chat_models

STUDIES = sorted(file.stem for file in (ROOT / "config" / "paper").glob("*.yaml"))
IMAGE_TEXT = ("llava", "idefics2")
ITEMS, TOKENS = 2, 8
# Numbers in the config of any dataset, checkpoint or runtime: the largest for such models.
AT_MOST = {"length": 320, "train_len": 64, "grid_step": 16, "min_len": 96, "windows": 2, "books": 2}
AT_MOST |= {"keep": 60, "keep_last": 20, "depth": 3, "min_layers": 2}
# What a method trains or asks with: rows enough that a random model's guesses are right now and then.
ROUND = {"samples": 8, "temperature": 5.0, "max_new_tokens": 96, "epochs": 1, "batch_size": 8, "micro_batch": 8}
SFT = {"steps": 1, "batch_size": 2, "micro_batch": 2, "max_length": 2048}
RL = {"vllm": False, "questions": 2, "samples": 2, "updates": 1, "micro_batch": 2, "max_new_tokens": 8, "steps": 2}
SHORT = {"steps": 2, "batch_size": 2}
WOVEN = {"trigger": 2, "session": {"micro_batch": 2, "max_length": 2048}}
FEW = {"windows": 2, "window": 16}
SEARCH = {"depth": {"min_layers": 2, "items": 4, "window": 16, "max_length": 256}, "width": FEW}
SUBNETS = {"steps": 2, "micro_batch": 2, "accumulation": 1, "rank": 2}
TRAINING: dict[str, dict[str, Any]] = {
    "self_improve": ROUND,
    "imm": {"improve": ROUND},
    "imm_match": {"max_new_tokens": 8},
    "imm_layers": {"permutations": 100},
    "sft": SFT,
    "grpo": RL,
    "rloo": RL,
    "mifo": {"rl": RL, "interleave": WOVEN},
    "relift": {"rl": RL, "interleave": WOVEN},
    "luffy": {"rl": RL},
    "mifo_drop_sft": {"sft": SFT},
    "mifo_drop_rl": {"rl": RL},
    "multimodal_sft": SHORT,
    "unlearn_ga": SHORT,
    "unlearn_graddiff": SHORT,
    "unlearn_klmin": SHORT,
    "unlearn_npo": SHORT,
    "manu": {"items": 4},
    "manu_scores": {"items": 4},
    "amoeballm_select": SEARCH,
    "select_greedy": SEARCH,
    **{f"select_{rule}": {**FEW, "width": FEW} for rule in ("angular", "deepest", "shortened", "shortgpt")},
    **{f"select_{rule}": FEW for rule in ("flap", "llm_pruner", "random")},
    "amoeballm_finetune": SUBNETS,
    "amoeballm_individual": SUBNETS,
    "amoeballm_choose": {"parameters": 0.9, "items": 4, "recheck_items": 4, "max_length": 256},
    "amoeballm_latency": {"prompt": 4, "new_tokens": 4, "rounds": 1},
}


def smaller(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose numbers fit models of two layers that read a few hundred tokens."""
    layers = {"layers": [0]} if "layers" in config else {}
    least = {key: min(config[key], most) for key, most in AT_MOST.items() if isinstance(config.get(key), int | float)}
    return config | least | layers


def changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`config` with the changes, those of a part of it within that part."""
    new = {
        key: changed(config.get(key, {}), value) if isinstance(value, dict) else value for key, value in changes.items()
    }
    return config | new


def stand_in(fetched: dict[str, Any]) -> str:
    """Which of `chat_models` stands for a fetched model: of Llama there is one that chats, and one that does not."""
    base = fetched["architecture"] == "llama" and "single_tokens" not in fetched
    return "llama_base" if base else str(fetched["architecture"])


def shrunk(study: dict[str, Any], models: Path) -> dict[str, Any]:
    """The study on stand-ins."""
    fetched = {
        spec["config"]["hub"]: spec["config"]["architecture"]
        for spec in study["checkpoints"].values()
        if spec.get("method") == "fetch"
    }
    for spec in study["datasets"].values():
        spec["config"] = smaller({**spec.get("config", {}), "stand_in": True})
        if "run_generated_code" in spec["config"]:
            spec["config"]["run_generated_code"] = True
        if "tokenizer" in spec["config"]:  # that of the model of the same name, else one that Mamba's models share
            architecture = fetched.get(spec["config"]["tokenizer"], "mamba")
            spec["config"] |= {"tokenizer": str(models / architecture), "tokenizer_revision": ""}
    for spec in study["checkpoints"].values():
        if spec.get("method") == "fetch":
            kept = {key: spec["config"][key] for key in ("architecture", "single_tokens") if key in spec["config"]}
            spec["config"] = {"folder": str(models / stand_in(kept)), **kept}
        else:
            spec["config"] = changed(smaller(spec.get("config", {})), TRAINING.get(spec.get("method", ""), {}))
    study["seeds"] = study["seeds"][:1]
    named = " ".join(name for job in study["evaluate"].values() for name in job["runtimes"])
    for pattern, spec in study["runtimes"].items():
        if pattern in named:
            spec["sweep"] = {key: values[:2] for key, values in spec.get("sweep", {}).items()}
        if "config" in spec:
            spec["config"] = smaller(spec["config"])
        if "choose" in spec:
            among = {key: values[:2] for key, values in spec["choose"]["among"].items()}
            spec["choose"] = {**spec["choose"], "among": among}
    for figure in study["figures"]:
        depths = [column for column in figure.get("y", ()) if column.startswith("kept_")]  # that they lack
        if depths:
            figure |= {"y": ["kept_3", "kept_2"][: len(depths)], "ticks": []}
    for job in study["evaluate"].values():
        job |= {"limit": ITEMS, "max_gen_toks": TOKENS, "slots": 8}
    return study


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in chat_models.FAMILIES:
        chat_models.write(folder / family, family)
    for kind in IMAGE_TEXT:
        pico_vision.checkpoint(folder / kind, kind)
    return folder


@pytest.fixture
def paper(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the paper's studies on stand-ins; its folder is the working directory."""
    (tmp_path / "config" / "paper").mkdir(parents=True)
    for folder in ("methods", "benchmarks"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for name in STUDIES:
        study = shrunk(read_yaml(ROOT / "config" / "paper" / f"{name}.yaml"), models)
        text = yaml.safe_dump(json.loads(json.dumps(study)))  # without anchors
        (tmp_path / "config" / "paper" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluating, "Mirror", lambda node, uri: nullcontext())  # tracking has its own tests
    return tmp_path


def built(root: Path, name: str, log: Log) -> StudyGraph:
    """The study's graph, with all its datasets and checkpoints made."""
    study = Graph(root, "paper").study(name)
    for dataset in study.datasets.values():
        prepare(dataset, log)
    for job in study.evaluations:
        make(job.checkpoint, root, log)
    return study


def make(node: CheckpointNode, root: Path, log: Log) -> None:
    """Make a checkpoint, and before it the parents and the data that it needs."""
    if node.path.exists():
        return
    for parent in node.parents:
        make(parent, root, log)
    for dataset, _ in node.data.values():
        prepare(dataset, log)
    transform(node, root, log)


def origin(node: CheckpointNode) -> CheckpointNode:
    """Where a checkpoint's weights come from."""
    return origin(node.parents[0]) if node.parents else node


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with (tmp_path / "log").open("w") as stream:
        yield Log("test", stream=stream)


@pytest.mark.parametrize("name", STUDIES)
def test_the_graph_of_a_paper_config_reads(name: str) -> None:
    study = Graph(ROOT, "paper").study(name)
    assert study.evaluations and study.study.claims and study.study.figures and study.study.reported
    assert {origin(job.checkpoint).method.name for job in study.evaluations} == {"fetch"}
    for job in study.evaluations:
        chats = origin(job.checkpoint).config.single_tokens is not None
        assert all(pair.chat_template == chats for pair in job.pairs), "a chat model is asked in its template"
    for pair in pairs(study):
        # A job lowers the limit only for the method that has no budget of its own, and says so in the arm's name.
        assert pair.max_gen_toks is None or pair.runtime == f"soft_{pair.max_gen_toks}"


@pytest.mark.parametrize("name", STUDIES)
def test_every_model_is_pinned_or_refused_by_name(name: str, tmp_path: Path, log: Log) -> None:
    for job in Graph(ROOT, "paper").study(name).evaluations:
        assert len(origin(job.checkpoint).config.revision) == 40
    with pytest.raises(UserError, match=r"key 'revision': 'some/model' must be .*some/model/commits/main"):
        from_hub(FetchConfig(hub="some/model"), tmp_path / "out", log)


@pytest.mark.parametrize("name", STUDIES)
def test_a_paper_config_runs_on_stand_ins(name: str, paper: Path, log: Log) -> None:
    study = built(paper, name, log)
    for job in study.evaluations:
        evaluating.evaluate(job, paper, "paper", "", log)
    kept: list[float] = []  # shares of a text's tokens, from runtimes that tell them
    for pair in pairs(study):
        score = Score.load(pair.path)
        rows = read_samples(samples_path(pair.path))
        assert 0 < score.n == len(rows) <= ITEMS
        assert all(math.isfinite(value) for value in (*score.metrics.values(), *score.cost.values()))
        assert set(score.metrics) == {metric.name for metric in pair.task.metrics}
        generates = output_type(pair) == "generate_until"
        most = TOKENS * tries(pair)
        assert all(0 < row["tokens"] <= most for row in rows) if generates else not any(row["tokens"] for row in rows)
        if output_type(pair) != "multiple_choice":  # whose options lm-eval scores one by one
            assert all(row["prompt_tokens"] > 0 for row in rows)
        kept += [] if generates else [row["kept"] for row in rows if "kept" in row]
    assert not kept or 0 < min(kept) < 1, "no runtime that looks at a text's length found one long enough"
    page = render(
        Path(), "paper", study.study, ReportContext(repository=ROOT, tasks={p.task_name: p.task for p in pairs(study)})
    )
    told = json.loads((page.parent / name / "verdicts.json").read_text())["claims"]
    assert [claim["id"] for claim in told] == [claim.id for claim in study.study.claims]
    # Two items of a random model decide nothing.
    assert {claim["verdict"] for claim in told} <= set(VERDICTS) - {"holds", "holds, but a control explains it"}
    text = page.read_text(encoding="utf-8")
    assert "Not scored yet" not in text
    assert text.count("*here*") > 0  # the paper's tables stand beside ours


def pairs(study: StudyGraph) -> list[Pair]:
    return [pair for job in study.evaluations for pair in job.pairs]


def output_type(pair: Pair) -> str:
    return str(load_yaml(pair.dataset.family.folder(ROOT) / pair.task.yaml)["output_type"])


def tries(pair: Pair) -> int:
    """Answers to one item."""
    return int(load_yaml(pair.dataset.family.folder(ROOT) / pair.task.yaml).get("repeats", 1))


def first_job(root: Path, log: Log, checkpoint: str) -> EvaluateNode:
    study = built(root, "swireasoning", log)
    return next(job for job in study.evaluations if job.checkpoint.name == checkpoint and job.name == "gsm8k")


@pytest.mark.parametrize(
    ("checkpoint", "head", "tail"),
    [
        ("qwen3_8b", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),  # thinks, which is its default
        ("deepseek_r1_distill_llama_8b", "<|begin|><|User|>", "<|Assistant|><think>\n"),
    ],
)
def test_the_chat_template_reaches_the_model_whole(
    checkpoint: str, head: str, tail: str, paper: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = first_job(paper, log, checkpoint)
    seen: list[str] = []
    ids: list[list[int]] = []
    bench = evaluating.Bench(job, paper, "paper", "", log)
    pair = next(pair for pair in job.pairs if pair.runtime == "cot")
    encode = pair.method.load().prompt_ids

    def prompt_ids(self: Any, text: str) -> list[int]:
        seen.append(text)
        ids.append(encode(self, text))
        return ids[-1]

    monkeypatch.setattr(pair.method.load(), "prompt_ids", prompt_ids)
    bench.run(pair)
    assert len(seen) == ITEMS
    for text, tokens in zip(seen, ids, strict=True):
        assert text.startswith(head) and text.endswith(tail)
        assert text.count("within \\boxed{}.") == 1
        words = Checkpoint(job.checkpoint.path).load()[1]
        assert words.decode(tokens) == text  # nothing cut, and no second token that begins a text
        assert tokens.count(words.convert_tokens_to_ids("<think>")) == tail.count("<think>")
    assert Score.load(pair.path).settings["first_prompt"] == seen[0]


def test_thinking_closed_at_once_fits_each_template(paper: Path, log: Log) -> None:
    study = built(paper, "swireasoning", log)
    for job_name, checkpoint, begins in (
        ("empty", "qwen3_8b", "<think>\n\n</think>\n\n"),
        ("empty_r1", "deepseek_r1_distill_llama_8b", "</think>\n\n"),
    ):
        job = next(job for job in study.evaluations if (job.name, job.checkpoint.name) == (job_name, checkpoint))
        bench = evaluating.Bench(job, paper, "paper", "", log)
        pair = job.pairs[0]
        bench.run(pair)
        for row in read_samples(samples_path(pair.path)):
            assert row["response"].startswith(begins)
            assert row["unclosed"] == 0
            assert row["forced"] > 0


def test_without_a_budget_latent_off_gives_exactly_cots_answers(paper: Path, log: Log) -> None:
    job = first_job(paper, log, "qwen3_8b")
    bench = evaluating.Bench(job, paper, "paper", "", log)
    found: dict[str, list[str]] = {}
    for pair in job.pairs:
        if pair.runtime in ("cot", "latent_off", "swir"):
            bench.run(pair)
            found[pair.runtime] = [row["response"] for row in read_samples(samples_path(pair.path))]
    assert found["latent_off"] == found["cot"] != found["swir"]


def test_a_lower_token_limit_is_a_score_of_its_own(project: Callable[..., Path]) -> None:
    def identity(extra: str) -> str:
        text = (ROOT / "config" / "smoke" / "swireasoning.yaml").read_text().replace("slots: 16", f"slots: 16{extra}")
        return Graph(project(swireasoning=text), "smoke").study("swireasoning").evaluations[0].pairs[0].identity

    assert identity("") != identity("\n    max_gen_toks: 8") != identity("\n    max_gen_toks: 9")
    with pytest.raises(UserError, match=r"evaluate\.main\.max_gen_toks"):
        identity("\n    max_gen_toks: 0")
