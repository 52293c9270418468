"""Verdicts: every word of the vocabulary is reached from planted effects, and the rules leave no gap."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from methodbench.claims import VERDICTS, Control, Judgement, decide, judge
from methodbench.compare import Comparison
from methodbench.errors import UserError
from methodbench.index import render_index
from methodbench.report import render
from methodbench.results import Results
from methodbench.stats import Estimate
from methodbench.study import Claim
from methodbench.verify import verify
from tests.drawings.long_study import write_measures
from tests.drawings.round_study import FAR, NEAR, round_results
from tests.results_factory import Planted, study_of, write_results

TASK = "math/test"
METRIC = f"{TASK}/exact_match"
TRUTH = {
    "base@method": Planted(0.75),
    "base@baseline": Planted(0.55),
    "base@twin": Planted(0.75, twin_of="base@method"),  # a control that does all the method does
    "base@near": Planted(0.69),  # a control that does much of it, and is beaten
    "base@inert": Planted(0.55, twin_of="base@baseline"),
    "base@slightly": Planted(0.60),
    "base@broken": Planted(0.55, unparsable=0.9),
}
CLAIMS: list[dict[str, Any]] = [
    {"id": "holds", "left": "method", "right": "baseline", "controls": ["inert"]},
    {"id": "explained", "left": "method", "right": "baseline", "controls": ["inert", "twin"]},
    {"id": "strong_control", "left": "method", "right": "baseline", "controls": ["near"]},
    {"id": "better_control", "left": "slightly", "right": "baseline", "controls": ["method"]},
    {"id": "too_small", "left": "slightly", "right": "baseline", "at_least": 0.15},
    {"id": "opposite", "left": "baseline", "right": "method"},
    {"id": "nothing", "left": "inert", "right": "baseline", "at_least": 0.02},
    {"id": "fewer", "left": "baseline", "right": "method", "direction": "less"},
    {"id": "missing", "left": "absent", "right": "baseline"},
    {"id": "sick", "left": "method", "right": "broken"},
    {"id": "lost_control", "left": "method", "right": "baseline", "controls": ["absent"]},
]


def study_values(**changes: Any) -> dict[str, Any]:
    runtimes = ["method", "baseline", "twin", "near", "inert", "slightly", "broken", "absent"]
    return {
        "study": "demo",
        "seeds": [0, 1, 2, 3, 4],
        "checkpoints": {"base": {"method": "pretrain"}},
        "runtimes": {name: {"method": "m"} for name in runtimes},
        "evaluate": {"all": {"checkpoints": ["base"], "runtimes": runtimes, "benchmarks": [TASK]}},
        "claims": [{"says": "a claim", "metric": METRIC, **claim} for claim in CLAIMS],
        **changes,
    }


def judged(root: Path, scale: str = "mini", items: int = 1500, **changes: Any) -> dict[str, Judgement]:
    study = study_of(study_values(**changes))
    write_results(root, scale, study, TRUTH, items=items)
    return {judgement.claim.id: judgement for judgement in judge(Results.load(root, scale, study))}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    return judged(tmp_path_factory.mktemp("claims"))


@pytest.mark.parametrize(
    ("claim", "verdict", "said"),
    [
        ("holds", "holds", "beats 1 control"),
        ("explained", "holds, but a control explains it", "the control `twin` alone reaches 100 % of the effect"),
        ("strong_control", "holds", "the control `near` alone reaches"),
        ("better_control", "holds, but a control explains it", "and `slightly` does worse: −"),
        ("too_small", "direction only", "real but smaller than the 15.0 points"),
        ("opposite", "does not hold", "goes the other way"),
        ("nothing", "does not hold", "where 2.0 points would count"),
        ("fewer", "holds", "points"),
        ("missing", "not comparable", "`base@absent` has no score on math/test"),
        ("sick", "not comparable", "ended without an answer that can be read"),
        ("lost_control", "not comparable", "the control `absent` cannot be compared"),
    ],
)
def test_verdicts_are_as_planted(verdicts: dict[str, Judgement], claim: str, verdict: str, said: str) -> None:
    assert verdicts[claim].verdict == verdict
    assert said in verdicts[claim].why and verdicts[claim].why.endswith(".")


def test_few_items_are_underpowered(tmp_path: Path) -> None:
    claims = [{"id": "C1", "says": "more", "left": "slightly", "right": "baseline", "metric": METRIC}]
    found = judged(tmp_path, items=25, seeds=[0], claims=claims)["C1"]
    assert found.verdict == "underpowered" and "one seed" in found.why


def test_smoke_makes_no_claims(tmp_path: Path) -> None:
    found = judged(tmp_path, scale="smoke", items=20)
    assert {judgement.verdict for judgement in found.values()} == {"not comparable"}
    assert all(judgement.comparison.effect is None for judgement in found.values())


def test_one_comparison_printed_twice_is_corrected_for_once(verdicts: dict[str, Judgement]) -> None:
    """method-baseline, -inert, -twin, -near; slightly-baseline, -method; baseline-method; inert-baseline."""
    assert "correction for 8 comparisons" in verdicts["holds"].why


def test_more_comparisons_raise_every_p(tmp_path: Path) -> None:
    alone = [{"id": "C1", "says": "more", "left": "method", "right": "slightly", "metric": METRIC}]
    others = [
        {"id": f"N{n}", "says": "x", "left": "method", "right": name, "metric": METRIC} for n, name in enumerate(TRUTHS)
    ]
    one, many = (
        judged(tmp_path, items=100, claims=alone)["C1"],
        judged(tmp_path, items=100, claims=alone + others)["C1"],
    )
    assert one.p < many.p <= 1


TRUTHS = ("near", "slightly", "inert")


def estimate_of(value: float, se: float, p: float) -> Estimate:
    return Estimate(value, value - 1.96 * se, value + 1.96 * se, se, 0.0, 1e6, p, 300, 3, (value,), 2.8 * se)


def test_rules_leave_no_gap_and_never_contradict_the_interval() -> None:
    claim = Claim(id="C", says="x", left="a", right="b", metric=METRIC, at_least=0.05)
    seen = set()
    for step in range(-40, 41):
        for se in (0.001, 0.01, 0.017, 0.05, 0.2):
            value = step / 200
            p = math.erfc(abs(value) / se / math.sqrt(2))
            verdict, why = decide(claim, Comparison("a", "b", METRIC, estimate_of(value, se, p), "share"), p, (), 1)
            seen.add(verdict)
            assert verdict in VERDICTS and why
            if verdict in ("holds", "direction only"):
                assert value > 0
            if verdict == "does not hold":
                assert value + 1.96 * se < 0.05 or (p < 0.05 and value < 0)
    assert seen == {"holds", "direction only", "does not hold", "underpowered"}


@pytest.mark.parametrize(
    ("reaches", "beaten", "verdict"),
    [
        (0.9, False, "holds, but a control explains it"),
        (0.5, False, "holds, but a control explains it"),
        (0.49, False, "holds"),
        (0.9, True, "holds"),
    ],
)
def test_a_control_explains_only_if_it_is_unbeaten_and_reaches_half(reaches: float, beaten: bool, verdict: str) -> None:
    claim = Claim(id="C", says="x", left="a", right="b", metric=METRIC, controls=("c",))
    main = Comparison("a", "b", METRIC, estimate_of(0.2, 0.01, 0.0), "share")
    control = Control("c", main, main, 0.5, beaten, reaches, not beaten and reaches >= 0.5, f"note on c: {reaches:.0%}")
    found, why = decide(claim, main, 0.0, (control,), 2)
    assert found == verdict and "note on c" in why
    lost = dataclasses.replace(control, against=Comparison("a", "c", METRIC, reason="gone"))
    assert decide(claim, main, 0.0, (lost,), 2)[0] == "not comparable"


RANKS: list[dict[str, Any]] = [
    {"id": "falls", "checkpoint": "many", "rank": ["importance", "change"], "direction": "less"},
    {"id": "again", "checkpoint": "many", "rank": ["importance", "change"], "direction": "less"},
    {"id": "wrong", "checkpoint": "many", "rank": ["importance", "change"]},
    {"id": "small", "checkpoint": "many", "rank": ["importance", "change"], "direction": "less", "at_least": 0.95},
    {"id": "few", "checkpoint": "few", "rank": ["importance", "change"], "direction": "less"},
    {"id": "none", "checkpoint": "many", "rank": ["importance", "noise"], "direction": "less"},
    {"id": "flat", "checkpoint": "many", "rank": ["importance", "flat"], "direction": "less"},
    {"id": "nan", "checkpoint": "many", "rank": ["importance", "broken"], "direction": "less"},
    {"id": "absent", "checkpoint": "base", "rank": ["importance", "change"], "direction": "less"},
    {"id": "uneven", "checkpoint": "uneven", "rank": ["importance", "change"], "direction": "less"},
]
HEAD = ("importance", "change", "noise", "flat", "broken")


def ranked(root: Path, claims: list[dict[str, Any]] = RANKS, scale: str = "mini") -> Results:
    """Checkpoints of 24 and of 6 rows; in the first, change falls as importance rises, but not without exception."""
    places = ("many", "few", "uneven")
    study = study_of(
        study_values(
            checkpoints={name: {"method": "pretrain"} for name in ("base", *places)},
            claims=[{"says": "ranks", **claim} for claim in claims],
            seeds=[0, 1],
        )
    )
    rng = np.random.default_rng(31)
    noise = rng.permutation(24)
    for seed in study.seeds:
        for name, rows in zip(places, (24, 6, 6 + seed), strict=True):
            change = [-row + rng.normal(0, 4 if name == "many" else 6) for row in range(rows)]
            cells = [(row, change[row], noise[row], 1, "nan" if row == 3 else row) for row in range(rows)]
            write_measures(root / f"results/{scale}/demo/seed{seed}/checkpoints/{name}", cells, HEAD)
    return Results.load(root, scale, study)


@pytest.mark.parametrize(
    ("claim", "verdict", "said"),
    [
        ("falls", "holds", "rho −0.8"),
        ("wrong", "does not hold", "goes the other way"),
        ("small", "direction only", "smaller than the 0.95 that count"),
        ("few", "underpowered", "0.30 would count"),
        ("none", "underpowered", "or more would be found reliably"),
        ("flat", "not comparable", "importance and flat of `many`: one of them is constant"),
        ("nan", "not comparable", "holds a value that is no finite number"),
        ("absent", "not comparable", "the folder of `base` holds no measures.csv"),
        ("uneven", "not comparable", "another number of rows for another seed"),
    ],
)
def test_rank_correlations_are_judged(ranks: dict[str, Judgement], claim: str, verdict: str, said: str) -> None:
    assert ranks[claim].verdict == verdict
    assert said.casefold() in ranks[claim].why.casefold() and "−0.00" not in ranks[claim].why


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judgement]:
    return {one.claim.id: one for one in judge(ranked(tmp_path_factory.mktemp("ranks")))}


def test_rank_correlations_join_the_correction_once(ranks: dict[str, Judgement]) -> None:
    assert "correction for 3 comparisons" in ranks["falls"].why  # many twice, few; one pair asked for four times
    assert ranks["falls"].comparison is ranks["again"].comparison
    assert ranks["falls"].p == pytest.approx(3 / 20_001)


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    wrong = [{"id": "R", "checkpoint": "many", "rank": ["importance", "chang"]}]
    with pytest.raises(UserError, match=r"claims\.R\.rank: unknown column 'chang' of .*did you mean 'change'"):
        judge(ranked(tmp_path, wrong))


def test_the_report_tells_of_ranks(tmp_path: Path) -> None:
    mixed = [*RANKS, {"id": "arms", "left": "method", "right": "baseline", "metric": METRIC}]
    results = ranked(tmp_path, mixed)
    text = render(tmp_path, "mini", results.study).read_text()
    line = next(line for line in text.splitlines() if line.startswith("| **falls**"))
    assert "Rank correlation (Spearman's rho) of `importance` and `change` in the measures of `many`. Rho −0.8" in line
    assert "| rho −0.8" in line and "**rho**: Spearman's rank correlation" in text
    assert "**holds**: falls and again;" in text
    assert "| falls | `many` | its measures | [0](../../results/mini/demo/seed0/checkpoints/many/measures.csv)" in text
    assert "[falls](demo.md#claim-falls)" in render_index(tmp_path, "mini", [results.study]).read_text()
    assert all("the study asks for this score" in sentence for sentence in verify(tmp_path, "mini", results.study))


def test_a_gain_less_another_is_judged_with_its_controls(tmp_path: Path) -> None:
    """Planted: `tuned_3` gains 35 points and loses 25, a gap of 60; `other` gains 18 and loses 20, a gap of 38."""
    where = {"metric": f"{NEAR}/exact_match", "minus": f"{FAR}/exact_match"}
    claim = {"id": "C", "says": "more here than there", "left": "tuned_3@plain", "right": "base@plain", **where}
    claims = [
        {**claim, "id": "apart", "controls": ["other"], "at_least": 0.4},
        {**claim, "id": "alone", "minus": ""},
        {**claim, "id": "even", "left": "mixed_1", "at_least": 0.3},
    ]
    results = round_results(tmp_path, claims=claims)
    found = {judgement.claim.id: judgement for judgement in judge(results)}
    effects = {name: judgement.comparison.effect for name, judgement in found.items()}
    assert {name: effect and effect.value for name, effect in effects.items()} == {
        "apart": pytest.approx(0.6, abs=0.08),
        "alone": pytest.approx(0.35, abs=0.08),
        "even": pytest.approx(0.13, abs=0.08),
    }
    assert (found["apart"].verdict, found["even"].verdict) == ("holds", "direction only")
    (control,) = found["apart"].controls
    assert control.beaten and control.reaches == pytest.approx(38 / 60, abs=0.1)
    assert control.alone.metric == found["apart"].comparison.metric != found["alone"].comparison.metric
    report = render(tmp_path, "mini", results.study).read_text()
    assert f"exact match on {NEAR}, less the difference in exact match on {FAR}" in report


def test_smoke_makes_no_claims_of_ranks(tmp_path: Path) -> None:
    assert {one.verdict for one in judge(ranked(tmp_path, scale="smoke"))} == {"not comparable"}
