"""Names of arms: sweeps, words, and what must be refused."""

from __future__ import annotations

from typing import Any

import pytest

from methodbench.arms import (
    Arm,
    candidate_name,
    curve_arms,
    expand,
    labels,
    resolve,
    resolve_one,
    resolve_over,
    study_arms,
    study_runtimes,
)
from methodbench.errors import UserError
from tests.results_factory import study_of


def values(**changes: Any) -> dict[str, Any]:
    return {
        "study": "demo",
        "checkpoints": {"base": {"method": "pretrain"}, "tuned": {"method": "sft", "from": ["base"]}},
        "runtimes": {
            "plain": {"method": "plain"},
            "sw_w{window}_b{beta}": {"method": "sw", "sweep": {"window": [4, 8], "beta": [0.5, None]}},
        },
        "evaluate": {
            "a": {"checkpoints": ["base"], "runtimes": ["plain", "sw_w{window}_b{beta}"], "benchmarks": ["math/test"]},
            "b": {"checkpoints": ["tuned"], "runtimes": ["plain"], "benchmarks": ["math/test", "math/hard"]},
        },
        "curves": {"all": {"arms": ["sw_w{window}_b{beta}", "base@plain"]}},
        **changes,
    }


def test_a_sweep_becomes_one_runtime_per_combination() -> None:
    runtimes = study_runtimes(study_of(values()))
    assert list(runtimes) == ["plain", "sw_w4_b0.5", "sw_w4_bnone", "sw_w8_b0.5", "sw_w8_bnone"]
    assert runtimes["sw_w8_bnone"].values == {"window": 8, "beta": None}
    assert runtimes["sw_w8_bnone"].pattern == "sw_w{window}_b{beta}"
    assert runtimes["plain"].pattern == "plain" and runtimes["plain"].values == {}


def test_expand_takes_a_pattern_or_a_name() -> None:
    study = study_of(values())
    assert len(expand("sw_w{window}_b{beta}", study_runtimes(study))) == 4
    assert expand("plain", study_runtimes(study)) == ["plain"]
    assert expand("nothing", study_runtimes(study)) == []


def test_arms_are_what_the_jobs_ask_for() -> None:
    arms = study_arms(study_of(values()))
    assert set(arms) == {"math/test", "math/hard"}
    assert arms["math/hard"] == [Arm("tuned", "plain")]
    assert len(arms["math/test"]) == 6


def test_words_resolve_where_they_are_clear() -> None:
    study = study_of(values())
    assert resolve(study, "sw_w4_b0.5", "math/test") == (Arm("base", "sw_w4_b0.5"),)
    assert resolve(study, "tuned", "math/test") == (Arm("tuned", "plain"),)
    assert resolve(study, "plain", "math/hard") == (Arm("tuned", "plain"),)
    assert len(resolve(study, "base@sw_w{window}_b{beta}", "math/test")) == 4
    assert len(curve_arms(study, "all", "math/test")) == 5


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("plain", "'plain' may mean base@plain or tuned@plain"),
        ("base", "'base' may mean"),
        ("plian", "did you mean 'plain'?"),
    ],
)
def test_unclear_words_are_refused(word: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("?", r"\?")):
        resolve(study_of(values()), word, "math/test")


def test_a_claim_needs_one_arm() -> None:
    study = study_of(values())
    assert resolve_one(study, "tuned", "math/test") == Arm("tuned", "plain")
    with pytest.raises(UserError, match="stands for 4 arms"):
        resolve_one(study, "sw_w{window}_b{beta}", "math/test")


@pytest.mark.parametrize(
    ("runtimes", "said"),
    [
        ({"sw_{widow}": {"method": "sw", "sweep": {"window": [1]}}}, r"such as \{window\}"),
        ({"sw": {"method": "sw", "sweep": {"window": [1, 2]}}}, "two settings are both named 'sw'"),
        ({"a/b": {"method": "sw"}}, "letters, digits"),
    ],
)
def test_bad_names_are_refused(runtimes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        study_runtimes(study_of(values(runtimes=runtimes)))


def test_unknown_curve_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'all'"):
        curve_arms(study_of(values()), "al", "math/test")


def test_labels_are_as_short_as_they_can_be() -> None:
    assert labels([Arm("a", "x"), Arm("a", "y")]) == {Arm("a", "x"): "x", Arm("a", "y"): "y"}
    assert labels([Arm("a", "x"), Arm("b", "x")])[Arm("b", "x")] == "b"
    assert labels([Arm("a", "x"), Arm("b", "y")])[Arm("b", "y")] == "b@y"


def test_an_arm_need_not_be_scored_on_all_of_several_tasks() -> None:
    study = study_of(values())
    assert resolve_over(study, ["base@plain", "tuned"], ["math/test", "math/hard"]) == (
        Arm("base", "plain"),
        Arm("tuned", "plain"),
    )
    with pytest.raises(UserError, match="no arm 'base' is scored on math/hard"):
        resolve_over(study, ["base"], ["math/hard"])
    with pytest.raises(UserError, match="may mean"):
        resolve_over(study, ["plain"], ["math/test", "math/hard"])


def test_a_candidates_name_is_readable_and_safe() -> None:
    assert candidate_name("tuned", {"alpha0": 0.5}) == "tuned~alpha0=0.5"
    assert candidate_name("lm", {"clamp": 0.05, "theta": 0.0001}) == "lm~clamp=0.05,theta=0.0001"
    assert candidate_name("lm", {"stop": "a/b, c", "top": None}) == "lm~stop=a%2Fb%2C%20c,top=none"
