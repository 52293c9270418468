"""The runtime through lm-eval: whole tasks, stop strings and thinking, seeds, the journal, refusals."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager
from torch import Tensor
from transformers import PreTrainedModel

from methodbench import progress as progress_module
from methodbench import runtime as runtime_module
from methodbench.builtin.plain import PlainLM
from methodbench.builtin.plain_config import PlainConfig
from methodbench.checkpoint import Checkpoint
from methodbench.config import parse
from methodbench.decoding import Generation
from methodbench.errors import UserError
from methodbench.journal import Journal
from methodbench.policy import Ordinary, Policy, Step
from methodbench.runtime import GenerationLM
from methodbench.sampling import Sampling
from methodbench.stopping import Thinking, UntilStop, cut
from tests import pico

SAMPLED = {"do_sample": True, "temperature": 1.3, "top_k": 30}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico checkpoint on disk."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("pico")
    pico.model().save_pretrained(path)
    pico.tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def make(folder: Path) -> Callable[..., Any]:
    """Runtimes on one shared model, as the evaluate job makes them."""
    model, tokenizer = Checkpoint(folder).load()

    def build(kind: type[GenerationLM] = PlainLM, config: Any = None, **hflm: Any) -> Any:
        config = PlainConfig() if config is None else config
        return kind(Checkpoint(folder), config, pretrained=model, tokenizer=tokenizer, **{"batch_size": 4, **hflm})

    return build


class Scripted(Ordinary):
    """Says the same text in every row, then the end token."""

    def __init__(self, text: str) -> None:
        self.script = torch.tensor([*pico.tokenizer().encode(text), pico.EOS])
        self.at = torch.zeros(0, dtype=torch.int64)

    def join(self, rows: int) -> None:
        self.at = torch.cat([self.at, torch.zeros(rows, dtype=torch.int64)])

    def step(self, logits: Tensor, sampled: Tensor) -> Step:
        self.at += 1
        return Step(self.script[(self.at - 1).clamp(max=len(self.script) - 1)])

    def keep(self, rows: Tensor) -> None:
        self.at = self.at[rows]

    def record(self, row: int) -> dict[str, Any]:
        return {"said": int(self.at[row])}


class ScriptedLM(GenerationLM):
    text = ""

    def policy(self, sampling: Sampling, max_new_tokens: int) -> Policy:
        return Scripted(self.text)


def instance(prompt: str, task: str = "t", item: int = 0, **gen_kwargs: Any) -> Instance:
    gen_kwargs = {"max_gen_toks": 24, "until": [], **gen_kwargs}
    return Instance("generate_until", {}, (prompt, gen_kwargs), 0, (task, item, 1))


def instances(count: int = 12, **gen_kwargs: Any) -> list[Instance]:
    return [instance(f"Question {index}?" + "!" * index, item=index, **gen_kwargs) for index in range(count)]


# -- through lm-eval ---------------------------------------------------------------------------------------------------


def write_task(folder: Path, rows: list[dict[str, Any]], **config: Any) -> str:
    """A stock-style task over local JSON lines; returns its name."""
    data = folder / "test.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": "local_task",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "metadata": {"version": 1.0},
        **config,
    }
    (folder / "local_task.yaml").write_text(json.dumps(task))  # JSON is YAML
    return "local_task"


def evaluate(lm: GenerationLM, folder: Path, name: str) -> Mapping[str, Any]:
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    results: Mapping[str, Any] = lm_eval.simple_evaluate(
        model=lm, tasks=[name], task_manager=manager, bootstrap_iters=0
    )
    return results


def test_a_generative_task_is_scored(make: Callable[..., Any], tmp_path: Path) -> None:
    name = write_task(
        tmp_path,
        [{"q": "1+1=", "a": "2"}, {"q": "1+2=", "a": "3"}, {"q": "2+0=", "a": "2"}, {"q": "4-2=", "a": "2"}],
        output_type="generate_until",
        doc_to_text="{{q}}",
        doc_to_target="{{a}}",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 16, "do_sample": False},
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    )
    lm = make(ScriptedLM)
    lm.text = "<think>3\nno</think>2\n3"
    results = evaluate(lm, tmp_path, name)
    assert results["results"][name]["exact_match,none"] == 0.75
    assert set(lm.generations) == {(name, item, 0) for item in range(4)}
    assert lm.generations[name, 0, 0] == {
        "response": "<think>3\nno</think>2\n",
        "tokens": 8,
        "latent": 0,
        "forced": 0,
        "finish": "stop",
        "truncated": 0,
        "unclosed": 0,
        "empty": 0,
        "prompt_tokens": 4,
        "prompt_cut": 0,
        "said": 8,
    }
    lm.clear()
    assert lm.generations == {}


def test_a_multiple_choice_task_is_scored_as_hflm_scores_it(make: Callable[..., Any], tmp_path: Path) -> None:
    name = write_task(
        tmp_path,
        [{"q": f"Is {n} even?", "gold": n % 2} for n in range(12)],
        output_type="multiple_choice",
        doc_to_text="{{q}}",
        doc_to_choice=[" yes", " no"],
        doc_to_target="gold",
        metric_list=[{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    )
    lm = make()
    results = evaluate(lm, tmp_path, name)
    by_hand = []
    for n in range(12):
        scores = []
        for choice in (" yes", " no"):
            prompt, ids = lm.tok_encode(f"Is {n} even?"), lm.tok_encode(f"Is {n} even?{choice}")
            with torch.no_grad():
                logp = lm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            scores.append(sum(float(logp[place - 1, ids[place]]) for place in range(len(prompt), len(ids))))
        by_hand.append(scores.index(max(scores)) == n % 2)
    assert results["results"][name]["acc,none"] == pytest.approx(sum(by_hand) / 12)


def test_repeats_of_an_item_are_drawn_anew(make: Callable[..., Any], tmp_path: Path) -> None:
    name = write_task(
        tmp_path,
        [{"q": "1+1=", "a": "2"}],
        output_type="generate_until",
        doc_to_text="{{q}}",
        doc_to_target="{{a}}",
        repeats=5,
        generation_kwargs={"until": [], "max_gen_toks": 12, **SAMPLED},
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    )
    lm = make()
    evaluate(lm, tmp_path, name)
    assert set(lm.generations) == {(name, 0, repeat) for repeat in range(5)}
    assert len({sample["response"] for sample in lm.generations.values()}) == 5


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "text", "until", "answer", "finish", "unclosed"),
    [
        ("Q", "one\n\ntwo", ["\n\n"], "one", "stop", 0),
        ("Q", "<think>a\n\nb</think>c\n\nd", ["\n\n"], "c", "stop", 0),
        ("Q<think>", "a\n\nb</think>\n\nc\n\nd", ["\n\n"], "", "stop", 0),
        ("Q<think>", "a\n\nb</think> c.", ["\n\n"], "c.", "eos", 0),
        ("Q<think>", "a\n\nb", ["\n\n"], "a\n\nb", "eos", 1),
        ("Q<think></think>", "c\n\nd", ["\n\n"], "c", "stop", 0),
        ("Q", "a</think>b<think>c</think>d", [], "d", "eos", 0),
        ("Q", "say END. more", ["END", "."], "say ", "stop", 0),
        ("Q", "ab", ["b", "a"], "", "stop", 0),
        ("Q", "say <pad>so", ["pad", "a"], "s", "stop", 0),
        ("Q", "so <pad>is", ["pad", "a"], "so is", "eos", 0),
        ("Q", "so <pad>is", ["<pad>"], "so ", "stop", 0),
        ("Q", "a<think>", ["<think>"], "a<think>", "eos", 1),
    ],
)
def test_stop_strings_end_the_answer_and_never_the_thinking(
    make: Callable[..., Any], prompt: str, text: str, until: list[str], answer: str, finish: str, unclosed: int
) -> None:
    lm = make(ScriptedLM)
    lm.text = text
    got = lm.generate_until([instance(prompt, until=until, item=item) for item in range(3)])
    if unclosed and "<think>" in text:
        answer = answer.replace("<think>", "")  # special tokens are not part of an answer
    assert got == [answer] * 3
    sample = lm.generations["t", 1, 0]
    assert (sample["finish"], sample["unclosed"], sample["empty"]) == (finish, unclosed, int(not answer.strip()))


def test_stopping_early_leaves_the_answer_of_a_full_run(make: Callable[..., Any]) -> None:
    """Stop strings of one and more characters on random text: the answer is the full text cut by hand."""
    lm = make()
    lm.thinking = Thinking()  # a random model says "<think>" at random
    full = lm.generate_until(instances(20, max_gen_toks=60, **SAMPLED))
    for until in (["a"], ["e", "S"], ["r", "\n", "ab"]):
        got = lm.generate_until(instances(20, max_gen_toks=60, until=until, **SAMPLED))
        assert got == [cut(text, until) for text in full]
    assert any(sample["finish"] == "stop" for sample in lm.generations.values())


def test_thinking_with_a_closing_token_only_is_open_from_the_start() -> None:
    only_close = Thinking(None, 3)
    assert only_close.answer_start([7], [8, 9]) is None
    assert only_close.answer_start([7], [8, 3, 9, 3, 5]) == 4
    assert Thinking().answer_start([7], [8, 3]) == 0
    assert Thinking(2, 3).answer_start([2, 7, 3], [8]) == 0
    assert Thinking(2, 3).answer_start([3, 7, 2], [8]) is None


def test_a_stop_is_asked_only_where_its_last_character_may_be() -> None:
    tokenizer = pico.tokenizer()
    stop = UntilStop(tokenizer, pico.VOCABULARY, ("so:", "\n"), Thinking(), [[7]])
    asked = {tokenizer.decode([token]) for token in stop.triggers.nonzero().squeeze(1).tolist()}
    assert asked == {":", "\n"}
    ids = tokenizer.encode("is so:")
    assert stop(0, ids) and not stop(0, ids[:-1]) and not stop(0, tokenizer.encode("is:"))


# -- seeds, settings, lengths ------------------------------------------------------------------------------------------


def test_samples_do_not_depend_on_slots_or_company(make: Callable[..., Any]) -> None:
    expected = make().generate_until(instances(**SAMPLED))
    for slots in (1, 3, 32):
        assert make(batch_size=slots).generate_until(instances(**SAMPLED)) == expected
    assert make().generate_until(list(reversed(instances(**SAMPLED)))) == list(reversed(expected))
    assert make().generate_until(instances(**SAMPLED)[4:5]) == expected[4:5]
    assert make(seed=1).generate_until(instances(**SAMPLED)) != expected
    assert make().generate_until(instances(seed=1, **SAMPLED)) == make(seed=1).generate_until(instances(**SAMPLED))


def test_settings_may_differ_within_one_call(make: Callable[..., Any]) -> None:
    parts = [instances(4), instances(4, **SAMPLED), instances(4, max_gen_toks=5), instances(4, until=["a"], **SAMPLED)]
    for task, part in enumerate(parts):
        for request in part:
            request.task_name = f"t{task}"
    mixed = [part[index] for index in range(4) for part in parts]
    got = make().generate_until(mixed)
    apart = [make().generate_until(part) for part in parts]
    assert got == [apart[place % 4][place // 4] for place in range(16)]


def test_a_loaded_checkpoint_and_a_given_model_agree(folder: Path, make: Callable[..., Any]) -> None:
    loaded = PlainLM(Checkpoint(folder), PlainConfig())
    assert loaded.slots == runtime_module.SLOTS
    assert loaded.max_length == pico.POSITIONS
    assert loaded.eos_ids == {pico.EOS} and loaded.think_end_id == pico.END_THINK
    assert loaded.generate_until(instances(**SAMPLED)) == make().generate_until(instances(**SAMPLED))


def test_the_shared_model_is_left_as_it_was(make: Callable[..., Any]) -> None:
    lm = make()
    model: PreTrainedModel = lm.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lm.generate_until(instances(**SAMPLED))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("config", "task", "expected"),
    [
        ({}, {}, Sampling()),
        ({}, {"do_sample": False, "temperature": 0.0}, Sampling()),
        ({}, {"temperature": 0.7}, Sampling(True, temperature=0.7)),
        ({}, {"do_sample": True, "temperature": 0.0}, Sampling()),
        ({}, {"do_sample": False, "temperature": 0.7}, Sampling()),
        ({}, {"do_sample": True, "top_p": 0.9, "min_p": 0.1}, Sampling(True, top_p=0.9, min_p=0.1)),
        ({"do_sample": True}, {"do_sample": False, "temperature": 0.0}, Sampling(True)),
        ({"temperature": 0.6, "top_k": 5}, {"do_sample": False}, Sampling(True, temperature=0.6, top_k=5)),
        ({"do_sample": False}, {"do_sample": True, "temperature": 0.7}, Sampling()),
        ({"top_p": 0.5}, {"do_sample": False}, Sampling()),
    ],
)
def test_the_task_decides_how_to_sample_unless_the_config_does(
    make: Callable[..., Any], config: dict[str, Any], task: dict[str, Any], expected: Sampling
) -> None:
    lm = make(config=parse(PlainConfig, config, "test"))
    assert lm.sampling(task) == expected


def test_a_prompt_that_does_not_fit_loses_its_beginning_and_says_so(make: Callable[..., Any]) -> None:
    lm = make()
    long = "x" * 600 + "Q?"
    assert lm.generate_until([instance(long)]) == lm.generate_until([instance(long[-(pico.POSITIONS - 24) :])])
    lm.generate_until([instance(long)])
    assert lm.generations["t", 0, 0]["prompt_cut"] == 602 - (pico.POSITIONS - 24)


def test_impossible_requests_are_refused_in_a_sentence(make: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="'max_gen_toks': given 512, allowed: less than the model's 512 positions"):
        make().generate_until([instance("Q", max_gen_toks=512)])
    with pytest.raises(UserError, match=r"unknown key 'temprature'.*did you mean 'temperature'"):
        make().generate_until([instance("Q", temprature=0.5)])
    with pytest.raises(UserError, match="'temperature': given -1"):
        make().generate_until([instance("Q", do_sample=True, temperature=-1.0)])


# -- the journal -------------------------------------------------------------------------------------------------------


def test_a_torn_journal_is_resumed_without_repeating_work(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(journal: Path | None) -> tuple[list[str], Any, int]:
        """Answers, samples, and how many requests were really decoded."""
        decoded = []
        original = runtime_module.decode

        def counted(model: Any, requests: Any, *args: Any, **kwargs: Any) -> Any:
            decoded.extend(requests)
            return original(model, requests, *args, **kwargs)

        monkeypatch.setattr(runtime_module, "decode", counted)
        lm = make()
        lm.journal = journal
        answers = lm.generate_until([*instances(**SAMPLED), *instances(until=["a"])])
        monkeypatch.setattr(runtime_module, "decode", original)
        return answers, lm.generations, len(decoded)

    path = tmp_path / "work" / "samples.jsonl"
    answers, samples, decoded = run(None)
    assert decoded == 24
    assert run(path) == (answers, samples, 24)
    assert run(path) == (answers, samples, 0)

    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = b"".join(lines[:9]) + lines[9][: len(lines[9]) // 2]
    path.write_bytes(torn)
    assert run(path) == (answers, samples, 15)
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert run(path) == (answers, samples, 0)


def test_a_journal_holds_for_one_setting_only(make: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    for hflm in ({}, {"seed": 1}, {"config": PlainConfig(top_k=3)}):
        lm = make(**hflm)
        lm.journal = path
        expected = make(**hflm).generate_until(instances(**SAMPLED))
        assert lm.generate_until(instances(**SAMPLED)) == expected
    assert len(Journal(path, Generation).known) == 36


def test_finished_rows_are_on_disk_when_the_job_dies(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methodbench.journal.EVERY", 0.0)
    lm = make(batch_size=2)
    lm.journal = tmp_path / "samples.jsonl"
    seen: list[int] = []

    def die(done: int, total: int, rate: float) -> None:
        seen.append(len(Journal(lm.journal, Generation).known))
        raise KeyboardInterrupt

    lm.on_progress = die
    clock = iter(range(1000))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(KeyboardInterrupt):
        lm.generate_until(instances(**SAMPLED))
    assert seen == [1]


def test_progress_counts_rows(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int, float]] = []
    lm = make()
    lm.on_progress = lambda done, total, rate: heard.append((done, total, rate))
    lm.generate_until(instances())
    assert heard == [], "less than a second has passed"
    clock = iter(range(1000))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    lm.generate_until(instances())
    assert [done for done, _, _ in heard] == list(range(1, 13))
    assert all(total == 12 and rate > 0 for _, total, rate in heard)
