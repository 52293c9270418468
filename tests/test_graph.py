"""The graph: what it makes of a study, what it refuses before any job, and what makes a node new."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from methodbench.errors import UserError
from methodbench.graph import Graph
from methodbench.workflow import Workflow

GOOD = """
study: toy
seeds: [0, 1]
datasets: {math: {config: {train: 64, validation: 8, test: 8, arithmetic: 0}}}
checkpoints:
  base: {method: pretrain, data: {train: math/train}, config: {steps: 5}}
  copied: {method: fetch, config: {folder: somewhere, single_tokens: []}}
runtimes:
  plain: {method: plain}
  swir_w{w_el}: {method: swireasoning, sweep: {w_el: [4, 8]}}
  picked: {method: swireasoning, choose: {among: {alpha0: [0.5, 1.0]}, on: math/validation}}
evaluate:
  main: {checkpoints: [base], runtimes: [plain, "swir_w{w_el}", picked], benchmarks: [math/test]}
"""
# Both checkpoints on two tasks, one of them by different runtimes.
MORE = (
    GOOD.rstrip().replace(
        "evaluate:",
        """evaluate:
  two: {checkpoints: [copied], runtimes: [plain], benchmarks: [math/test, math/validation]}
  val: {checkpoints: [base], runtimes: [plain], benchmarks: [math/validation]}""",
    )
    + "\n"
)
Project = Callable[..., Path]


def read(root: Path, study: str = "toy") -> Graph:
    graph = Graph(root, "smoke")
    graph.study(study)
    return graph


def test_a_study_becomes_nodes(project: Project) -> None:
    study = read(project(toy=GOOD)).study("toy")
    paths = [str(node.path) for node in study.checkpoints]
    assert paths == [
        "results/smoke/toy/seed0/checkpoints/base",
        "results/smoke/toy/seed1/checkpoints/base",
        "results/smoke/toy/unseeded/checkpoints/copied",  # fetch ignores the seed: built once
    ]
    pairs = [pair.path for pair in study.evaluations[0].pairs]
    assert [path.parts[6] for path in pairs] == ["plain", "swir_w4", "swir_w8", "picked"]
    assert str(pairs[1]) == "results/smoke/toy/seed0/scores/base/swir_w4/math/test.json"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("steps: 5", "step: 5", ["checkpoints.base.config", "unknown key 'step'", "did you mean 'steps'"]),
        ("steps: 5", "steps: 0", ["key 'steps'", "given 0", "greater than or equal to 1"]),
        ("steps: 5", "steps: many", ["key 'steps'", "given 'many'"]),
        ("method: pretrain", "method: pretrian", ["unknown transform 'pretrian'", "did you mean 'pretrain'"]),
        ("method: pretrain", "method: plain", ["unknown transform 'plain'"]),
        ("method: plain", "method: plane", ["unknown runtime 'plane'", "did you mean 'plain'"]),
        ("math/train}", "math/trian}", ["unknown split 'trian'", "did you mean 'train'"]),
        ("math/train}", "maths/train}", ["unknown dataset 'maths'", "did you mean 'math'"]),
        ("{train: math/train}", "{}", ["'pretrain' needs data 'train'"]),
        ("{train: math/train}", "{trane: math/train}", ["takes no data 'trane'"]),
        ("[math/test]", "[math/tset]", ["unknown benchmark 'math/tset'", "did you mean 'math/test'"]),
        ("checkpoints: [base]", "checkpoints: [bas]", ["unknown checkpoint 'bas'", "did you mean 'base'"]),
        ("runtimes: [plain", "runtimes: [plian", ["unknown runtime 'plian'", "did you mean 'plain'"]),
        ("alpha0: [0.5, 1.0]", "alpha0: [0.5, 2.0]", ["choose.among", "alpha0", "given 2.0"]),
        ("alpha0: [0.5, 1.0]", "alpha: [0.5, 1.0]", ["choose.among", "unknown key 'alpha'", "did you mean 'alpha0'"]),
        ("alpha0: [0.5, 1.0]", "alpha0: []", ["choose.among", "alpha0", "one value at least"]),
        ("alpha0: [0.5, 1.0]", "alpha0: [0.5, 0.5]", ["choose.among", "'picked~alpha0=0.5'", "give each value once"]),
        ("among: {alpha0: [0.5, 1.0]}", "key: alpha0, among: {}", ["runtimes.picked.choose", "unknown key"]),
        ("{alpha0: [0.5, 1.0]}, on", "{alpha0: [1.0]}, metric: accuracy, on", ["choose.metric", "exact_match"]),
        ("{math: {", "{maths: {", ["unknown benchmark family 'maths'", "did you mean 'math'"]),
        ("pretrain, data", "pretrain, from: [copied, copied], data", ["takes 0 to 1 parents", "given 2"]),
        ("pretrain, data", "pretrain, from: [nobody], data", ["unknown parent 'nobody'"]),
        ("pretrain, data", "pretrain, from: [others/base], data", ["unknown study 'others'"]),
        ("checkpoints: [base]", "checkpoints: [copied]", ["'swir_w4' cannot run checkpoint 'copied'", "<think>"]),
        ("method: plain", "method: multimodal", ["'plain' cannot run", "pictures", "which 'qwen3' does not read"]),
        ("steps: 5", "steps: 5, architecture: llava", ["decodes text only", "use the runtime 'multimodal'"]),
        ("study: toy", "study: toys", ["given 'toys'", "'toy'"]),
        ("seeds: [0, 1]", "seeds: []", ["seeds"]),
        ('plain, "swir', 'plain, plain, "swir', ["scored twice"]),
    ],
)
def test_mistakes_are_refused_with_a_sentence(project: Project, before: str, after: str, said: list[str]) -> None:
    assert before in GOOD
    root = project(toy=GOOD.replace(before, after))
    with pytest.raises(UserError) as caught:
        read(root)
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value)


def test_claims_curves_and_figures_must_name_what_is_scored(project: Project) -> None:
    claim = "claims: [{id: C, says: x, left: plain, right: plane, metric: math/test/exact_match}]\n"
    with pytest.raises(UserError, match=r"claims\.C: unknown arm 'plane'.*did you mean 'plain'"):
        read(project(toy=GOOD + claim))
    with pytest.raises(UserError, match=r"curves\.k\.arms: unknown arm 'w'"):
        read(project(toy=GOOD + "curves: {k: {arms: [w]}}\n"))
    figure = "figures: [{id: f, kind: bars, title: t, task: math/tst, arms: [plain]}]\n"
    with pytest.raises(UserError, match=r"figures\.f\.task: unknown benchmark 'math/tst'"):
        read(project(toy=GOOD + figure))


def test_what_a_method_refuses_of_its_parents_names_the_file_and_the_checkpoint(project: Project) -> None:
    study = GOOD.replace("runtimes:", "  tower: {method: take_language_model, from: [base]}\nruntimes:", 1)
    with pytest.raises(
        UserError, match=r"toy\.yaml: checkpoints\.tower: take_language_model: its parent is of the type"
    ):
        read(project(toy=study))


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("kind: lengths, tasks: [math/test, math/tst], arms: [plain]", r"f\.tasks: unknown benchmark 'math/tst'"),
        ("kind: lengths, tasks: [math/test], arms: [plane]", r"f\.arms: unknown arm 'plane'.*did you mean 'plain'"),
        ("kind: lengths, task: math/test, arms: [plain]", "missing key 'tasks': a figure of kind 'lengths' needs it"),
        ("kind: bars, tasks: [math/test], arms: [plain]", "missing key 'task': a figure of kind 'bars' needs it"),
        ("kind: heat, tasks: [math/test]", "missing key 'arms': a figure of kind 'heat' needs it"),
        (
            "kind: heat, tasks: [math/test], arms: [plain], ticks: [a, b]",
            r"'ticks': given 2, must be as many as 'tasks' \(1\)",
        ),
        ("kind: heat, tasks: [math/test], arms: [base]", "'base' may mean base@plain or .*; name one of them"),
        ("kind: histogram, x: decay, checkpoints: [bse]", r"f\.checkpoints: unknown checkpoint 'bse'.*mean 'base'"),
        ("kind: histogram, checkpoints: [base]", "missing key 'x'"),
        ("kind: histogram, x: decay, checkpoints: [base], clip: [0, -4]", "'clip': given .0.0, -4.0., must be"),
        ("kind: map, checkpoints: [base]", "missing key 'x': a figure of kind 'map' needs it"),
        ("kind: map, x: layer", "missing key 'checkpoints': a figure of kind 'map' needs it"),
        (
            "kind: map, x: layer, checkpoints: [base], y: [a, b], ticks: [one]",
            r"key 'ticks': given 1, must be as many as its rows \(2\)",
        ),
        ("kind: curve, task: math/test", "missing key 'curves' or 'arms': a figure of kind 'curve' needs one of them"),
        ("kind: curve, task: math/test, arms: [plain], x: measures.", "key 'x': given 'measures.', must name a column"),
        ("kind: layers, checkpoints: [base]", "missing key 'x': a figure of kind 'layers' needs it"),
        ("kind: layers, x: layer, checkpoints: [copid]", r"f\.checkpoints: unknown checkpoint 'copid'"),
        ("kind: measures, y: [kept]", "missing key 'curves'"),
        ("kind: measures, y: [kept], curves: [way]", r"curve 'way' holds 'plain', which names no checkpoint; allowed"),
        ("kind: measures, y: [kept], curves: [made], ticks: [a]", r"given 1, must be as many as the arms .*\(2\)"),
        ("kind: measures, y: [], curves: [made]", r"key 'figures\.0\.y'"),
        ("kind: profile, task: math/test, y: [a]", "missing key 'arms'"),
        ("kind: profile, task: math/test, arms: [plain], y: [a], ticks: ['1', '2']", r"as many as 'y' \(1\)"),
        ("kind: plane, tasks: [math/test], curves: [way]", "given math/test and exact_match; a figure of kind 'plane'"),
        ("kind: plane, tasks: [math/test, math/test], curves: [way]", "has two different tasks"),
        ("kind: plane, tasks: [math/test, math/validation]", "missing key 'curves' or 'arms'"),
        (
            "kind: plane, tasks: [math/test, math/validation], curves: [way], origin: pln",
            r"f\.origin: unknown arm 'pln'",
        ),
        ("kind: plane, tasks: [math/test, math/validation], arms: [swir_w4]", "no arm 'swir_w4' is scored on math/val"),
        ("kind: curve, task: math/test, curves: [made]", "'base' may mean base@plain or .*; name one of them"),
        ("kind: histgram, x: decay, checkpoints: [base]", "given 'histgram'"),
    ],
)
def test_a_figure_says_what_its_kind_needs(project: Project, figure: str, said: str) -> None:
    curves = "curves: {made: {arms: [base, copied]}, way: {arms: [plain, swir_w4]}}\n"
    with pytest.raises(UserError, match=said):
        read(project(toy=f"{MORE}{curves}figures: [{{id: f, title: t, {figure}}}]\n"))


def test_an_arm_of_a_plane_is_the_same_on_both_tasks(project: Project) -> None:
    job = "evaluate:\n  two: {checkpoints: [copied], runtimes: [plain], benchmarks: [math/validation]}"
    figure = "figures: [{id: f, title: t, kind: plane, tasks: [math/test, math/validation], arms: [plain]}]\n"
    with pytest.raises(UserError, match="'plain' means base@plain on math/test, but copied@plain on math/validation"):
        read(project(toy=GOOD.replace("evaluate:", job) + figure))


def test_new_kinds_of_figure_and_claim_are_read(project: Project) -> None:
    more = """
curves: {made: {arms: [base, copied@plain]}, way: {arms: [base@plain, copied@plain]}}
figures:
  - {id: a, kind: plane, title: t, tasks: [math/test, math/validation], curves: [way], origin: base@plain}
  - {id: b, kind: measures, title: t, curves: [made], y: [kept], ticks: [start, end]}
  - {id: c, kind: layers, title: t, checkpoints: [copied], x: layer, y: [importance, change]}
  - {id: d, kind: profile, title: t, task: math/test, arms: [base@plain], y: [a, b], ticks: ["1", "2"]}
claims: [{id: C, says: x, checkpoint: copied, rank: [importance, change], direction: less}]
"""
    study = read(project(toy=MORE + more)).study("toy").study
    assert [figure.kind for figure in study.figures] == ["plane", "measures", "layers", "profile"]
    assert study.claims[0].rank == ("importance", "change")


PAIR = "left: plain, right: picked, metric: math/test/exact_match"


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (
            "left: plain, right: picked",
            r"claims\.C: missing key 'metric': a claim needs left, right and metric, or else",
        ),
        ("checkpoint: base", r"claims\.C: missing key 'rank': .*checkpoint and rank"),
        ("rank: [a, b]", r"claims\.C: missing key 'checkpoint'"),
        ("", r"claims\.C: missing key 'left'"),
        ("checkpoint: base, rank: [a, b], left: plain", r"key 'left': a claim with 'rank' takes none, given 'plain'"),
        ("checkpoint: base, rank: [a, b], controls: [plain]", r"key 'controls': .*takes none, given \['plain'\]"),
        ("checkpoint: bse, rank: [a, b]", r"claims\.C\.checkpoint: unknown checkpoint 'bse'.*did you mean 'base'"),
        ("checkpoint: base, rank: [a]", r"key 'claims\.0\.rank"),
        ("checkpoint: base, rank: [a, b], minus: x/y/z", r"key 'minus': a claim with 'rank' takes none"),
        (f"{PAIR}, minus: math/test/tokens", r"key 'minus': given 'math/test/tokens', must be of another benchmark"),
        (f"{PAIR}, minus: math/tst/exact_match", r"claims\.C\.minus: unknown benchmark 'math/tst'"),
        (f"{PAIR}, minus: math/validation/efficiency", "a gain in efficiency is compared with no other"),
    ],
)
def test_a_claim_compares_arms_or_ranks_columns(project: Project, claim: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(project(toy=f"{GOOD}claims: [{{id: C, says: x, {claim}}}]\n"))


def test_a_choice_over_a_grid_has_a_candidate_for_each_combination(project: Project) -> None:
    study = GOOD.replace("{alpha0: [0.5, 1.0]}", "{alpha0: [0.5, 1.0], w_el: [4, null]}")
    pairs = read(project(toy=study)).study("toy").evaluations[0].pairs
    candidates = [(config.alpha0, config.w_el) for config in pairs[3].candidates]
    assert candidates == [(0.5, 4), (0.5, None), (1.0, 4), (1.0, None)]


def test_a_cycle_is_named(project: Project) -> None:
    one = "study: one\ncheckpoints:\n  a: {from: [b]}\n  b: {from: [two/c]}\n"
    two = "study: two\ncheckpoints:\n  c: {from: [one/a]}\n"
    with pytest.raises(UserError, match="a cycle: one/a -> one/b -> two/c -> one/a"):
        read(project(one=one, two=two), "one")


def test_another_studys_checkpoint_is_used_where_it_lies(project: Project) -> None:
    other = "study: other\nseeds: [1]\ncheckpoints: {mine: {from: [toy/base]}}\n"
    graph = read(project(toy=GOOD, other=other), "other")
    assert graph.checkpoint("other", "mine", 1) is graph.checkpoint("toy", "base", 1)
    assert graph.study("other").checkpoints == ()


BORROWS = """
study: other
datasets: {math: {from: toy/math}}
checkpoints: {mine: {from: [toy/base]}, copied: {method: fetch, config: {folder: somewhere, single_tokens: []}}}
runtimes: {plain: {method: plain}}
evaluate: {main: {checkpoints: [mine, copied], runtimes: [plain], benchmarks: [math/test]}}
"""


def test_another_studys_dataset_is_used_where_it_lies(project: Project) -> None:
    third = BORROWS.replace("study: other", "study: third").replace("toy/math", "other/math")
    root = project(toy=GOOD, other=BORROWS, third=third)
    graph = read(root, "third")
    dataset = graph.dataset("toy", "math")
    assert graph.study("other").datasets["math"] is graph.study("third").datasets["math"] is dataset
    assert (dataset.study, str(dataset.path)) == ("toy", "results/smoke/toy/datasets/math")
    score = graph.evaluation("other", 0, "copied", "main").pairs[0]
    assert score.dataset is dataset and score.task_name == "math/test"
    assert str(score.path) == "results/smoke/other/seed0/scores/copied/plain/math/test.json"


def test_a_score_on_another_studys_dataset_is_that_of_the_same_one_written_out(project: Project) -> None:
    def score(other: str) -> str:
        return read(project(toy=GOOD, other=other), "other").evaluation("other", 0, "mine", "main").pairs[0].identity

    written_out = "{config: {train: 64, validation: 8, test: 8, arithmetic: 0}}"
    assert score(BORROWS) == score(BORROWS.replace("{from: toy/math}", written_out))


def test_snakemake_waits_for_the_folder_of_the_study_that_prepares_it(project: Project) -> None:
    flow = Workflow(project(toy=GOOD, other=BORROWS), {"scale": "smoke", "studies": "other"})
    asked = [*flow.results_of(SimpleNamespace(study="other"))]
    asked += flow.score_inputs(SimpleNamespace(study="other", seed="0", checkpoint="mine", job="main"))
    assert [path for path in asked if "datasets" in path] == ["results/smoke/toy/datasets/math"] * 2


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("{from: tyo/math}", r"smoke/other\.yaml: datasets\.math\.from: unknown study 'tyo'.*did you mean 'toy'"),
        (
            "{from: toy/maths}",
            r"datasets\.math\.from: unknown dataset 'maths'; allowed: math \(did you mean 'math'\?\)",
        ),
        ("{from: math}", r"datasets\.math\.from: given 'math', must be 'STUDY/math'"),
        ("{from: [toy/math]}", r"key 'datasets\.math\.from': given \['toy/math'\]"),
        ("{from: toy/math, seed: 0}", r"datasets\.math: key 'seed': given beside 'from', which allows no other key"),
        ("{from: other/math}", r"datasets\.math: a cycle: other/math -> other/math"),
        ("{from: third/math}", r"a cycle: other/math -> third/math -> other/math"),
    ],
)
def test_another_studys_dataset_is_named_right(project: Project, after: str, said: str) -> None:
    third = "study: third\ndatasets: {math: {from: other/math}}\ncheckpoints: {mine: {from: [toy/base]}}\n"
    with pytest.raises(UserError, match=said):
        read(project(toy=GOOD, other=BORROWS.replace("{from: toy/math}", after), third=third), "other")


def test_a_dataset_keeps_its_name_in_another_study(project: Project) -> None:
    other = BORROWS.replace("{math: {from", "{sums: {from")
    with pytest.raises(UserError, match=r"datasets\.sums\.from: given 'toy/math' .*: write 'math: {from: toy/math}'"):
        read(project(toy=GOOD, other=other), "other")


def identities(root: Path) -> dict[str, str]:
    study = read(root).study("toy")
    nodes = [*study.datasets.values(), *study.checkpoints, *(pair for e in study.evaluations for pair in e.pairs)]
    return {str(node.path): node.identity for node in nodes}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("steps: 5", "steps: 6", ["checkpoints/base", "scores/base"]),
        ("alpha0: [0.5, 1.0]", "alpha0: [0.5]", ["picked"]),
        ("w_el: [4, 8]", "w_el: [4, 16]", ["swir_w16"]),
        ("test: 8", "test: 9", ["datasets/math", "checkpoints/base", "scores/base"]),
        ("{steps: 5}", "{steps: 5, weight_decay: 0.01}", []),  # the default, written out
        ("seeds: [0, 1]", "seeds: [0, 1]  # a comment", []),
    ],
)
def test_an_edit_makes_new_what_it_touches_and_nothing_else(
    project: Project, before: str, after: str, changed: list[str]
) -> None:
    old, new = identities(project(toy=GOOD)), identities(project(toy=GOOD.replace(before, after)))
    fresh = [path for path, identity in new.items() if old.get(path) != identity]
    for path in new:
        assert (path in fresh) == any(part in path for part in changed), path


def test_seeds_differ_and_reading_again_does_not(project: Project) -> None:
    root = project(toy=GOOD)
    first = identities(root)
    assert first == identities(root)
    seeds = [first[f"results/smoke/toy/seed{seed}/checkpoints/base"] for seed in (0, 1)]
    assert seeds[0] != seeds[1]


def test_reading_the_graph_imports_no_heavy_library() -> None:
    code = (
        "import sys; from pathlib import Path; from methodbench.workflow import Workflow; "
        "Workflow('.', {'scale': 'mini', 'studies': 'all'}); "
        "print(sorted({'torch', 'transformers', 'lm_eval', 'mlflow', 'datasets', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_optional_study_is_made_when_it_is_named(project: Project) -> None:
    root = project(toy=GOOD, more=GOOD.replace("study: toy", "study: more\noptional: true"))

    def made(studies: str) -> list[str]:
        return [study.study.study for study in Workflow(root, {"scale": "smoke", "studies": studies}).studies]

    assert made("all") == ["toy"]
    assert made("more") == ["more"]
