"""The evaluate job: load a checkpoint once, run every runtime on every task through lm-eval, keep every sample.

A finished pair is kept by its identity: after a change in the study only the pairs it touches are scored again.
lm-eval does the prompting and the grading; its own response cache is never used (it returns another model's answers).
"""

from __future__ import annotations

import logging
import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import lm_eval.evaluator
import torch
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from methodbench.arms import candidate_name
from methodbench.benchmark import Task
from methodbench.checkpoint import Checkpoint
from methodbench.errors import UserError
from methodbench.joblog import Log
from methodbench.ledger import score_node
from methodbench.mirror import Mirror
from methodbench.nodes import DatasetNode, EvaluateNode, Pair
from methodbench.provenance import code_digest, commit, versions
from methodbench.publish import alone, discard, work_folder
from methodbench.score import HEALTH, Score, samples_path, write_samples
from methodbench.transform import write_json

TOKENS = ("tokens", "latent", "forced", "prompt_tokens")  # counts of a sample whose means are costs
PROMPT_SHOWN = 2000  # characters at either end of a prompt that the record keeps


def evaluate(node: EvaluateNode, root: Path, scale: str, uri: str, log: Log) -> None:
    """Score every pair of `node` that is not yet scored, then write the index of all of them."""
    with alone(node.path, log):
        _evaluate(node, Bench(node, root, scale, uri, log), log)


def _evaluate(node: EvaluateNode, bench: Bench, log: Log) -> None:
    pending = [pair for pair in node.pairs if not bench.finished(pair.path, pair.identity)]
    if len(pending) < len(node.pairs):
        log.say(f"{len(node.pairs) - len(pending)} of {len(node.pairs)} scores are there already")
    for index, pair in enumerate(pending, 1):
        bench.place = f"{index}/{len(pending)} {pair.runtime}"
        bench.run(pair)
    write_json(
        node.path,
        {
            "identity": node.identity,
            "pairs": [{"path": str(pair.path), "identity": pair.identity} for pair in node.pairs],
        },
    )


class Bench:
    """One loaded checkpoint and the tasks it is scored on."""

    def __init__(self, node: EvaluateNode, root: Path, scale: str, uri: str, log: Log) -> None:
        self.node, self.root, self.scale, self.uri, self.log = node, root, scale, uri, log
        self.place = ""
        self._model: tuple[Any, Any] | None = None
        self._tasks: dict[tuple[str, str], Any] = {}

    def finished(self, path: Path, identity: str) -> bool:
        """Is there a whole score of this identity?"""
        if not path.exists() or not samples_path(path).exists():
            return False
        return Score.load(path).identity == identity

    def run(self, pair: Pair) -> None:
        """Score one pair; with a choice, score its candidates first and take the best."""
        config, chosen = pair.config, dict[str, Any]()
        if pair.choice is not None and pair.choice_task is not None:
            config, chosen = self._choose(pair)
        self.score(pair, config, pair.dataset, pair.task, pair.path, pair.identity, chosen)

    def _choose(self, pair: Pair) -> tuple[Any, dict[str, Any]]:
        assert pair.choice is not None and pair.choice_task is not None
        dataset, task = pair.choice_task
        direction = next(metric.direction for metric in task.wanted() if metric.name == pair.choice.metric)
        tried = pair.choice.combinations()
        scores: list[float] = []
        for values, config in zip(tried, pair.candidates, strict=True):
            arm = candidate_name(pair.runtime, values)
            path = self.node.path.parent / arm / dataset.name / f"{task.name}.json"
            identity = pair.score_identity(config, dataset, task)
            if not self.finished(path, identity):
                self.score(pair, config, dataset, task, path, identity, {}, arm)
            scores.append(Score.load(path).metrics[pair.choice.metric])
        best = best_of(scores, direction)
        chosen = {
            "values": tried[best],
            "on": pair.choice.on,
            "metric": pair.choice.metric,
            "scores": [{"values": values, "score": score} for values, score in zip(tried, scores, strict=True)],
        }
        return pair.candidates[best], chosen

    def score(
        self,
        pair: Pair,
        config: Any,
        dataset: DatasetNode,
        task: Task,
        path: Path,
        identity: str,
        chosen: Mapping[str, Any],
        arm: str = "",
    ) -> None:
        """Generate, grade and write one score and its samples."""
        method = pair.method.name
        tracked = score_node(self.scale, self.node.path.parts[2], path, identity, method, asdict(config), pair.seed)
        with Mirror(tracked, self.uri):
            started = time.monotonic()
            work = work_folder(path, identity)
            loaded = self.task(dataset, task, pair.max_gen_toks)
            runtime = self.runtime(pair, config, work)
            results = lm_eval.evaluator.evaluate(
                lm=runtime,
                task_dict={"tasks": {loaded.config.task: loaded}, "groups": {}, "group_map": {}},
                limit=pair.limit,
                bootstrap_iters=0,
                log_samples=True,
                apply_chat_template=pair.chat_template,
            )
            (name,) = results["samples"]
            logged = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
            samples = [sample_line(s, of_all_tries(runtime.generations, name, s["doc_id"]), task) for s in logged]
            wall = time.monotonic() - started
            sha256 = write_samples(samples_path(path), samples)
            Score(
                scale=self.scale,
                study=self.node.path.parts[2],
                seed=pair.seed,
                checkpoint=self.node.path.parent.name,
                runtime=arm or pair.runtime,
                task=f"{dataset.name}/{task.name}",
                identity=identity,
                n=len(samples),
                metrics={metric.name: mean(samples, metric.name) for metric in task.metrics},
                health={flag: mean(samples, flag) for flag in HEALTH},
                cost={
                    **{key: mean(samples, key) for key in TOKENS if all(key in sample for sample in samples)},
                    "wall_s": round(wall, 2),
                    "peak_mb": round(peak_memory_mb(), 1),
                },
                settings={
                    "method": pair.method.name,
                    "method_version": pair.method.version,
                    "config": asdict(config),
                    "generation": getattr(loaded.config, "generation_kwargs", None),
                    "task_version": task.version,
                    "fewshot": loaded.config.num_fewshot,
                    "chat_template": pair.chat_template,
                    "limit": pair.limit,
                    "first_prompt": first_prompt(logged),
                    "slots": self.node.slots,
                    "versions": versions(),
                    "code": code_digest(pair.method.entry),
                    "commit": commit(self.root),
                    "checkpoint": self.node.checkpoint.identity,
                },
                samples_sha256=sha256,
                chosen=chosen,
            ).save(path)
            discard(work)
            shown = "  ".join(f"{metric.name} {mean(samples, metric.name):.3f}" for metric in task.metrics[:1])
            made, read = mean(samples, "tokens"), mean(samples, "prompt_tokens") if "prompt_tokens" in samples[0] else 0
            tokens = f"{made:.0f} tokens a sample" if made else f"{read:.0f} tokens read a sample"
            self.log.say(f"{self.place}: {dataset.name}/{task.name}  {shown}  {tokens}  {wall:.0f} s")

    def runtime(self, pair: Pair, config: Any, work: Path) -> Any:
        """The lm-eval LM of a pair, on the shared model, with its journal in the pair's work folder."""
        if self._model is None:
            self.log.say(f"loads {self.node.checkpoint.path}")
            self._model = Checkpoint(self.node.checkpoint.path, self.node.checkpoint.name).load()
        model, tokenizer = self._model
        runtime = pair.method.load()(
            Checkpoint(self.node.checkpoint.path, self.node.checkpoint.name),
            config,
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=self.node.slots,
            seed=pair.seed,
            **pair.method.keywords,
        )
        runtime.journal = work / "samples.jsonl"
        runtime.on_progress = lambda done, total, rate: self.log.progress(
            done, total, f"{self.place}: sample", tokens_per_s=rate
        )
        return runtime

    def task(self, dataset: DatasetNode, task: Task, max_gen_toks: int | None) -> Any:
        """The lm-eval task object over the dataset's own file; made once a job."""
        key = (dataset.name, task.name)
        if key not in self._tasks:
            self._tasks[key] = load_task(
                dataset.family.folder(self.root) / task.yaml, dataset.path / f"{task.split}.jsonl", max_gen_toks
            )
        return self._tasks[key]


def load_task(yaml: Path, data: Path, max_gen_toks: int | None = None) -> Any:
    """An lm-eval task from our YAML, reading the local file `data`; no other task is indexed.

    `max_gen_toks` replaces the limit of a generating task; tasks that only compare likelihoods have none.

    Raises:
        UserError: the data or the YAML is missing or broken.
    """
    if not data.exists():
        raise UserError(f"{data}: dataset file is missing; run snakemake to prepare it")
    if not yaml.exists():
        raise UserError(f"{yaml}: task file is missing")
    config = load_yaml(yaml)
    config |= {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "test_split": "test",
    }
    if max_gen_toks is not None and config.get("output_type") == "generate_until":
        config["generation_kwargs"] = {**config.get("generation_kwargs", {}), "max_gen_toks": max_gen_toks}
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    loaded = TaskManager(include_defaults=False).load([config])["tasks"]
    return next(iter(loaded.values()))


def sample_line(sample: Mapping[str, Any], generation: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """One flat line of the samples file (see `score.py`) from lm-eval's record and the runtime's own."""
    answer = sample["filtered_resps"][0] if sample["filtered_resps"] else ""
    answer = answer[0] if isinstance(answer, list) and answer else answer  # of several tries the first is shown
    answer = answer if isinstance(answer, str) else str(answer)
    return {
        "id": sample["doc_id"],
        "kind": str(sample["doc"].get("kind", "")),
        "target": str(sample["target"]),
        "response": answer,
        "answer": answer.strip()[-200:],
        **dict.fromkeys(("tokens", "latent", "forced", *HEALTH), 0),
        "finish": "",
        **generation,
        **{metric.name: float(sample[metric.name]) for metric in task.metrics},
        "unparsable": int(not sample.get("answered", 1)),
    }


def of_all_tries(known: Mapping[tuple[str, int, int], dict[str, Any]], task: str, item: int) -> dict[str, Any]:
    """The runtime's record of an item; where it was tried several times, tokens summed and health flags averaged."""
    tries: list[dict[str, Any]] = []
    while (task, item, len(tries)) in known:
        tries.append(known[task, item, len(tries)])
    if len(tries) < 2:
        return tries[0] if tries else {}
    tokens = {key: sum(one[key] for one in tries) for key in ("tokens", "latent", "forced")}
    flags = {key: sum(one[key] for one in tries) / len(tries) for key in HEALTH if key in tries[0]}
    return tries[0] | tokens | flags


def best_of(scores: Sequence[float], direction: Literal["greater", "less"]) -> int:
    """Place of the best score, of equals the first; a score that is no number is worse than any other."""
    sign = 1.0 if direction == "greater" else -1.0
    return max(range(len(scores)), key=lambda place: -math.inf if math.isnan(scores[place]) else sign * scores[place])


def first_prompt(logged: list[Mapping[str, Any]]) -> str:
    """The first item's prompt exactly as the model got it; of a very long one, head and tail."""
    prompt = str(logged[0]["arguments"][0][0]) if logged else ""
    left_out = len(prompt) - 2 * PROMPT_SHOWN
    return f"{prompt[:PROMPT_SHOWN]} [… {left_out} characters …] {prompt[-PROMPT_SHOWN:]}" if left_out > 0 else prompt


def mean(samples: list[dict[str, Any]], key: str) -> float:
    """Mean of a number over the samples; 0 for none."""
    return sum(float(sample[key]) for sample in samples) / len(samples) if samples else 0.0


def peak_memory_mb() -> float:
    """Most memory this process has held: on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
