"""The experiment graph: studies on the disk -> named, checked nodes. Reading it imports no torch.

Every mistake that can be known before a job runs is found here and said in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from methodbench.architectures import misfit
from methodbench.arms import candidate_name, study_runtimes
from methodbench.benchmark import Task, discover_families
from methodbench.config import parse
from methodbench.errors import UserError, nearest
from methodbench.method import Traits, discover_methods, find
from methodbench.nodes import UNSEEDED, CheckpointNode, DatasetNode, EvaluateNode, Pair, StudyGraph
from methodbench.study import Choice, EvaluateSpec, Study, read_study
from methodbench.study_words import check_words

SCALES = ("smoke", "mini", "paper")


class Graph:
    """All studies of a scale, each read once, on demand (a study may build on another's checkpoints and datasets)."""

    def __init__(self, root: Path, scale: str) -> None:
        if scale not in SCALES:
            raise UserError(f"config: key 'scale': unknown scale '{scale}'; {nearest(scale, SCALES)}")
        self.root, self.scale = root, scale
        self.methods = discover_methods(root)
        self.families = discover_families(root)
        self._specs: dict[str, tuple[Study, Path]] = {}
        self._datasets: dict[tuple[str, str], DatasetNode] = {}
        self._nodes: dict[tuple[str, str, int], CheckpointNode] = {}
        self._studies: dict[str, StudyGraph] = {}

    def study_names(self) -> list[str]:
        """Every study of the scale, in file order."""
        return sorted(file.stem for file in (self.root / "config" / self.scale).glob("*.yaml"))

    def study(self, name: str, where: str = "config") -> StudyGraph:
        """The checked nodes of one study."""
        if name not in self._studies:
            spec, file = self._spec(name, where)
            datasets = {key: self._dataset(name, key, str(file)) for key in spec.datasets}
            nodes = [self.checkpoint(name, checkpoint, seed) for checkpoint in spec.checkpoints for seed in spec.seeds]
            own = {node.path: node for node in nodes if node.study == name}
            graph = StudyGraph(spec, file, datasets, tuple(own.values()), tuple(self._evaluations(name)))
            check_words(graph)
            self._studies[name] = graph
        return self._studies[name]

    def checkpoint(
        self, study: str, name: str, seed: int, trail: tuple[str, ...] = (), where: str = ""
    ) -> CheckpointNode:
        """The node of a checkpoint for a seed; follows references to other studies."""
        spec, file = self._spec(study, where or "config")
        where = f"{file}: checkpoints.{name}"
        if name not in spec.checkpoints:
            raise UserError(f"{file}: unknown checkpoint '{name}'; {nearest(name, spec.checkpoints)}")
        step = f"{study}/{name}"
        if step in trail:
            raise UserError(f"{where}: a cycle: {' -> '.join([*trail[trail.index(step) :], step])}")
        if (study, name, seed) not in self._nodes:
            self._nodes[study, name, seed] = self._build(study, name, seed, (*trail, step), where)
        return self._nodes[study, name, seed]

    def dataset(self, study: str, name: str) -> DatasetNode:
        """A dataset of a study; follows references to other studies."""
        return self._dataset(study, name, study)

    def built(self, study: str, build: str, name: str) -> CheckpointNode:
        """The checkpoint at results/SCALE/`study`/`build`/checkpoints/`name`; `build` is "seed0" or "unseeded"."""
        seed = self._spec(study, "config")[0].seeds[0] if build == UNSEEDED else int(build.removeprefix("seed"))
        return self.checkpoint(study, name, seed)

    def evaluation(self, study: str, seed: int | str, checkpoint: str, job: str) -> EvaluateNode:
        """The evaluate job whose index is results/SCALE/`study`/seed`seed`/scores/`checkpoint`/`job`.json."""
        wanted = self._place(study) / f"seed{seed}" / "scores" / checkpoint / f"{job}.json"
        for node in self.study(study).evaluations:
            if node.path == wanted:
                return node
        raise UserError(f"{wanted}: is no score of study '{study}'")

    def _build(self, study: str, name: str, seed: int, trail: tuple[str, ...], where: str) -> CheckpointNode:
        spec = self._spec(study, where)[0].checkpoints[name]
        parents = tuple(self._parent(study, parent, seed, trail, where) for parent in spec.parents)
        if not spec.method:
            if len(parents) != 1:
                raise UserError(
                    f"{where}: without 'method' it must name one checkpoint in 'from', given {len(parents)}"
                )
            return parents[0]
        method = find(self.methods, spec.method, "transform", where)
        fewest, most = method.parents
        if not fewest <= len(parents) <= most:
            allowed = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise UserError(f"{where}: '{method.name}' takes {allowed} parents in 'from', given {len(parents)}")
        for key in spec.data:
            if key not in method.data:
                raise UserError(f"{where}: '{method.name}' takes no data '{key}'; {nearest(key, method.data)}")
        for key in method.data:
            if key not in spec.data:
                raise UserError(f"{where}: '{method.name}' needs data '{key}': write data: {{{key}: dataset/split}}")
        config: Any = parse(method.config, spec.config, f"{where}.config")
        traits = tuple(parent.traits for parent in parents)
        try:
            made = method.traits(config, traits) if method.traits else (traits[0] if traits else Traits())
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        alone = not method.seeded and all(parent.run == UNSEEDED for parent in parents)
        return CheckpointNode(
            place=self._place(study),
            study=study,
            name=name,
            run=UNSEEDED if alone else f"seed{seed}",
            seed=seed,
            method=method,
            config=config,
            parents=parents,
            data={key: self._split(study, value, f"{where}.data.{key}") for key, value in spec.data.items()},
            traits=made,
        )

    def _parent(self, study: str, parent: str, seed: int, trail: tuple[str, ...], where: str) -> CheckpointNode:
        other, _, name = parent.rpartition("/")
        if other:
            return self.checkpoint(other, name, seed, trail, where)
        names = self._spec(study, where)[0].checkpoints
        if name not in names:
            raise UserError(f"{where}: unknown parent '{name}'; {nearest(name, names)}")
        return self.checkpoint(study, name, seed, trail)

    def _evaluations(self, study: str) -> Iterable[EvaluateNode]:
        spec, file = self._spec(study, "config")
        taken: dict[Path, str] = {}
        for job, entry in spec.evaluate.items():
            where = f"{file}: evaluate.{job}"
            for seed in spec.seeds:
                for name in entry.checkpoints:
                    if name not in spec.checkpoints:
                        raise UserError(f"{where}: unknown checkpoint '{name}'; {nearest(name, spec.checkpoints)}")
                    node = self.checkpoint(study, name, seed)
                    place = self._place(study) / f"seed{seed}" / "scores" / name
                    pairs = tuple(self._pairs(study, entry, node, seed, place, where))
                    for pair in pairs:
                        if taken.setdefault(pair.path, job) != job or [p.path for p in pairs].count(pair.path) > 1:
                            raise UserError(
                                f"{where}: '{name}' with '{pair.runtime}' on '{pair.task_name}' is scored twice "
                                f"(also in evaluate.{taken[pair.path]})"
                            )
                    yield EvaluateNode(job, node, seed, pairs, entry.slots, place / f"{job}.json")

    def _pairs(
        self, study: str, entry: EvaluateSpec, node: CheckpointNode, seed: int, place: Path, where: str
    ) -> Iterable[Pair]:
        spec = self._spec(study, where)[0]
        arms = study_runtimes(spec)
        patterns = {arm.pattern for arm in arms.values()}
        wanted: list[str] = []
        for name in entry.runtimes:
            if name not in arms and name not in patterns:
                raise UserError(f"{where}: unknown runtime '{name}'; {nearest(name, {*arms, *patterns})}")
            wanted += [arm for arm in arms if name in (arm, arms[arm].pattern)]
        for name in wanted:
            runtime = arms[name].spec
            place_of = f"{self._spec(study, where)[1]}: runtimes.{arms[name].pattern}"
            method = find(self.methods, runtime.method, "runtime", place_of)
            values = {**runtime.config, **arms[name].values}
            config: Any = parse(method.config, values, f"{place_of}.config")
            reason = misfit(node.traits.architecture, method.pictures)
            reason = reason or (method.fits(config, node.traits) if method.fits else None)
            if reason:
                raise UserError(f"{where}: runtime '{name}' cannot run checkpoint '{node.name}': {reason}")
            choice = runtime.choose
            candidates: tuple[Any, ...] = ()
            choice_task: tuple[DatasetNode, Task] | None = None
            if choice:
                _check_combinations(choice, name, f"{place_of}.choose.among")
                among = [{**values, **picked} for picked in choice.combinations()]
                candidates = tuple(parse(method.config, values, f"{place_of}.choose.among") for values in among)
                choice_task = self._task(study, choice.on, f"{place_of}.choose.on")
                _check_metric(choice, choice_task[1], f"{place_of}.choose.metric")
            for benchmark in entry.benchmarks:
                dataset, task = self._task(study, benchmark, f"{where}.benchmarks")
                yield Pair(
                    runtime=name,
                    method=method,
                    config=config,
                    choice=choice,
                    candidates=candidates,
                    dataset=dataset,
                    task=task,
                    choice_task=choice_task,
                    limit=entry.limit,
                    max_gen_toks=entry.max_gen_toks,
                    chat_template=entry.chat_template,
                    path=place / name / dataset.name / f"{task.name}.json",
                    checkpoint_identity=node.identity,
                    seed=seed,
                )

    def _spec(self, name: str, where: str) -> tuple[Study, Path]:
        if name not in self._specs:
            if name not in self.study_names():
                raise UserError(
                    f"{where}: unknown study '{name}' at scale {self.scale}; {nearest(name, self.study_names())}"
                )
            file = self.root / "config" / self.scale / f"{name}.yaml"
            study = read_study(file)
            shown = file.relative_to(self.root)
            if study.study != name:
                raise UserError(f"{shown}: key 'study': given '{study.study}', must be the file's name '{name}'")
            self._specs[name] = (study, shown)
        return self._specs[name]

    def _dataset(self, study: str, name: str, where: str, trail: tuple[str, ...] = ()) -> DatasetNode:
        spec, file = self._spec(study, where)
        if (study, name) not in self._datasets:
            if name not in spec.datasets:
                raise UserError(
                    f"{where}: unknown dataset '{name}'; {nearest(name, spec.datasets)} (in {file}: datasets)"
                )
            step, where = f"{study}/{name}", f"{file}: datasets.{name}"
            if step in trail:
                raise UserError(f"{where}: a cycle: {' -> '.join([*trail[trail.index(step) :], step])}")
            entry = spec.datasets[name]
            if entry.source:
                node = self._borrowed(name, entry.source, f"{where}.from", (*trail, step))
            else:
                family_name = entry.family or name
                if family_name not in self.families:
                    raise UserError(
                        f"{where}: unknown benchmark family '{family_name}'; {nearest(family_name, self.families)}"
                    )
                family = self.families[family_name]
                config: Any = parse(family.config, entry.config, f"{where}.config")
                node = DatasetNode(self._place(study), name, family, config, entry.seed)
            self._datasets[study, name] = node
        return self._datasets[study, name]

    def _borrowed(self, name: str, source: str, where: str, trail: tuple[str, ...]) -> DatasetNode:
        """The other study's own node: whatever asks for its folder waits for that study's job."""
        other, _, theirs = source.partition("/")
        if not other or not theirs:
            raise UserError(f"{where}: given '{source}', must be 'STUDY/{name}', a dataset of another study")
        node = self._dataset(other, theirs, where, trail)
        if theirs != name:
            raise UserError(
                f"{where}: given '{source}' for the dataset '{name}', must have the same name, which its tasks bear: "
                f"write '{theirs}: {{from: {source}}}'"
            )
        return node

    def _split(self, study: str, value: str, where: str) -> tuple[DatasetNode, str]:
        name, _, split = value.partition("/")
        dataset = self._dataset(study, name, where)
        allowed = dataset.family.splits(dataset.config)
        if split not in allowed:
            raise UserError(f"{where}: unknown split '{split}' of dataset '{name}'; {nearest(split, allowed)}")
        return dataset, split

    def _task(self, study: str, value: str, where: str) -> tuple[DatasetNode, Task]:
        name, _, task_name = value.partition("/")
        dataset = self._dataset(study, name, where)
        task = dataset.family.task(task_name)
        if task is None:
            names = [f"{name}/{known.name}" for known in dataset.family.tasks]
            raise UserError(f"{where}: unknown benchmark '{value}'; {nearest(value, names)}")
        self._split(study, f"{name}/{task.split}", where)
        return dataset, task

    def _place(self, study: str) -> Path:
        return Path("results") / self.scale / study


def _check_combinations(choice: Choice, runtime: str, where: str) -> None:
    """Every key has values, and no two candidates would lie in one folder."""
    for key, values in choice.among.items():
        if not values:
            raise UserError(f"{where}: key '{key}': given [], expected one value at least")
    names = [candidate_name(runtime, values) for values in choice.combinations()]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where}: two candidates are both named '{name}'; give each value once")


def _check_metric(choice: Choice, task: Task, where: str) -> None:
    """The task that decides must have the metric: its declaration says which way is better."""
    names = [metric.name for metric in task.metrics]
    if choice.metric not in names:
        raise UserError(f"{where}: unknown metric '{choice.metric}' of {choice.on}; {nearest(choice.metric, names)}")
