"""Image-text models through lm-eval: what they generate and score is the model's own, whoever stands beside."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from PIL import Image

from methodbench.builtin.multimodal import PlainMultimodalLM
from methodbench.builtin.multimodal_config import MultimodalConfig
from methodbench.checkpoint import Checkpoint
from methodbench.decoding import Generation
from methodbench.errors import UserError
from methodbench.evaluate import load_task
from methodbench.journal import Journal
from methodbench.runtime import GenerationLM
from methodbench.visual import Inputs, collate, encode_picture
from tests import pico, pico_vision

LIMIT = 12
QUESTIONS = ["Who?", "What is it?", "Where does the person live?", "Why?", "How old?"]
PICTURES = [pico_vision.picture(0), pico_vision.picture(1, (24, 16)), pico_vision.picture(2)]
Build = Callable[..., PlainMultimodalLM]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any]]:
    """Model (float64, so that batches of any size give the same) and processor of a family."""
    made: dict[str, tuple[Any, Any]] = {}

    def of(kind: str) -> tuple[Any, Any]:
        if kind not in made:
            folder = pico_vision.checkpoint(tmp_path_factory.mktemp(kind), kind)
            made[kind] = Checkpoint(folder).load(dtype=torch.float64)
        return made[kind]

    return of


@pytest.fixture
def build(loaded: Callable[[str], tuple[Any, Any]]) -> Build:
    def lm(kind: str = "llava", of: type[PlainMultimodalLM] = PlainMultimodalLM, slots: int = 4) -> PlainMultimodalLM:
        model, processor = loaded(kind)
        given = {"pretrained": model, "tokenizer": processor, "batch_size": slots, "seed": 0}
        return of(Checkpoint(Path("pico")), MultimodalConfig(), **given)

    return lm


def ask(item: int, picture: Image.Image | None, until: tuple[str, ...] = (), **settings: Any) -> Instance:
    """A generating request as lm-eval makes it."""
    shown = "" if picture is None else "<image>\n"
    text = f"USER: {shown}{QUESTIONS[item % len(QUESTIONS)]}\nASSISTANT:"
    further = () if picture is None else ({"visual": [picture]},)
    settings = {"until": list(until), "max_gen_toks": LIMIT, "do_sample": False, **settings}
    return Instance("generate_until", {}, (text, settings, *further), 0, metadata=("t", item, 1))


def score(item: int, picture: Image.Image | None, option: str) -> Instance:
    """A likelihood request."""
    text, _, *further = ask(item, picture).args
    return Instance("loglikelihood", {}, (text, option, *further), 0, metadata=("t", item, 1))


def by_hand(lm: PlainMultimodalLM, request: Instance) -> list[int]:
    """Greedy tokens, each from a pass over the whole text so far: no cache, no padding, no neighbours."""
    text, further = request.args[0], request.args[2] if len(request.args) > 2 else {"visual": []}
    visuals = further["visual"]
    tokens, images = Inputs(lm.processor)(text, visuals, ["x"] * len(visuals))
    row = {**tokens, **images}
    made: list[int] = []
    while len(made) < LIMIT and (not made or made[-1] != pico.EOS):
        with torch.no_grad():
            logits = lm.model(**collate([row], 0)).logits
        made.append(int(logits[0, -1].argmax()))
        for key in tokens:
            new = made[-1] if key == "input_ids" else 0
            row[key] = torch.cat([row[key], torch.tensor([new])])
    return made


REQUESTS = [ask(item, PICTURES[item % 3] if item % 5 else None) for item in range(9)]


# -- generating --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_generations_are_the_models_own(kind: str, build: Build) -> None:
    lm = build(kind)
    answers = lm.generate_until(REQUESTS)
    for request, answer in zip(REQUESTS, answers, strict=True):
        tokens = by_hand(lm, request)
        record = lm.generations["t", request.doc_id, 0]
        assert record["response"] == lm.tokenizer.decode(tokens)
        assert answer == lm.tokenizer.decode(tokens, skip_special_tokens=True)
        ended = tokens[-1] == pico.EOS
        assert record["finish"] == ("eos" if ended else "length") and record["truncated"] == int(not ended)
        assert record["tokens"] == len(tokens) and record["empty"] == int(not answer.strip())
        assert (record["latent"], record["forced"], record["unclosed"]) == (0, 0, 0)


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_neighbours_change_nothing(kind: str, build: Build) -> None:
    together = build(kind).generate_until(REQUESTS)
    assert len(set(together)) >= 5  # answers that were all alike could not tell rows apart
    assert build(kind, slots=1).generate_until(REQUESTS) == together
    assert [build(kind).generate_until([request])[0] for request in REQUESTS] == together
    assert build(kind).generate_until(REQUESTS[::-1]) == together[::-1]


def test_the_picture_decides(build: Build) -> None:
    lm = build()
    assert len(set(lm.generate_until([ask(0, picture) for picture in PICTURES]))) == 3
    assert list(lm.generations) == [("t", 0, 0), ("t", 0, 1), ("t", 0, 2)]  # tries of one item
    lm.clear()
    assert lm.generations == {}


def test_a_row_ends_at_its_stop_string(build: Build) -> None:
    lm = build()
    whole = lm.generate_until(REQUESTS)
    stop = whole[1][3]
    stopped = lm.generate_until([ask(item, PICTURES[item % 3] if item % 5 else None, (stop,)) for item in range(9)])
    assert stopped == [answer.split(stop)[0] for answer in whole] and stopped != whole
    for item, answer in enumerate(whole):
        record = lm.generations["t", item, 1 if ("t", item, 1) in lm.generations else 0]
        assert (record["finish"] == "stop") == (stop in answer)
        assert record["response"].endswith(stop) or stop not in answer


def test_what_published_settings_say_changes_no_answer(build: Build) -> None:
    lm = build()
    answers = lm.generate_until(REQUESTS)
    kept, lm.model.generation_config = (
        lm.model.generation_config,
        type(lm.model.generation_config)(
            do_sample=True, temperature=3.0, repetition_penalty=9.0, eos_token_id=pico.EOS
        ),
    )
    given = lm.model.generation_config.to_json_string()
    assert lm.generate_until(REQUESTS) == answers
    assert lm.model.generation_config.to_json_string() == given
    lm.model.generation_config = kept


def test_settings_that_are_refused(build: Build) -> None:
    lm = build()
    with pytest.raises(UserError, match="key 'do_sample': given True; with pictures decoding is greedy"):
        lm.generate_until([ask(0, PICTURES[0], do_sample=True)])
    with pytest.raises(UserError, match=r"unknown key 'max_gen_tok'; .*did you mean 'max_gen_toks'"):
        lm.generate_until([ask(0, PICTURES[0], max_gen_tok=3)])
    with pytest.raises(UserError, match="'max_gen_toks' is 500; the model has 512 positions"):
        lm.generate_until([ask(0, PICTURES[0], max_gen_toks=500)])


class Polite(PlainMultimodalLM):
    """A method that writes a sentence before every question."""

    def prompt(self, text: str) -> str:
        return "Say nothing.\n" + text


def test_a_method_sees_every_prompt(build: Build) -> None:
    request, option = ask(1, PICTURES[1]), score(1, PICTURES[1], " Mia")
    text, *further = request.args
    written = dataclasses.replace(request, arguments=("Say nothing.\n" + text, *further))
    assert build(of=Polite).generate_until([request]) == build().generate_until([written])
    assert build(of=Polite).generate_until([request]) != build().generate_until([request])
    likely = dataclasses.replace(option, arguments=("Say nothing.\n" + text, *option.args[1:]))
    assert build(of=Polite).loglikelihood([option]) == build().loglikelihood([likely])


# -- the journal -------------------------------------------------------------------------------------------------------


def test_a_journal_is_gone_on_from(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm, path = build(slots=2), tmp_path / "samples.jsonl"
    whole = lm.generate_until(REQUESTS)
    records = lm.generations
    killed = build(slots=2)
    killed.journal = path
    once = killed._generate

    def dying(jobs: Any) -> Any:
        if path.exists():
            raise KeyboardInterrupt
        return once(jobs)

    monkeypatch.setattr("methodbench.journal.EVERY", 0.0)
    monkeypatch.setattr(killed, "_generate", dying)
    with pytest.raises(KeyboardInterrupt):
        killed.generate_until(REQUESTS)
    known = Journal(path, Generation).known
    assert len(known) == 1
    resumed = build(slots=2)
    resumed.journal = path
    asked: list[int] = []
    again = resumed._generate
    monkeypatch.setattr(resumed, "_generate", lambda jobs: asked.append(len(jobs)) or again(jobs))
    assert resumed.generate_until(REQUESTS) == whole and resumed.generations == records
    assert sum(asked) == len(REQUESTS) - 2  # the two texts without a picture are one and the same


def test_another_picture_or_limit_is_another_entry(build: Build, tmp_path: Path) -> None:
    lm = build()
    lm.journal = tmp_path / "samples.jsonl"
    same = Image.frombytes("RGB", PICTURES[0].size, PICTURES[0].tobytes())
    for request in (ask(0, PICTURES[0]), ask(0, same), ask(0, PICTURES[2]), ask(0, None), ask(0, None, max_gen_toks=3)):
        lm.generate_until([request])
    assert len(Journal(lm.journal, Generation).known) == 4


def test_progress_is_told(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("methodbench.progress.time.monotonic", lambda: float(next(ticks)))
    lm, heard = build(), list[tuple[int, int]]()
    lm.on_progress = lambda done, total, rate: heard.append((done, total))
    lm.generate_until(REQUESTS[:2])
    lm.loglikelihood([score(0, PICTURES[0], " a")])
    assert heard == [(1, 2), (2, 2), (1, 1)]


# -- likelihoods -------------------------------------------------------------------------------------------------------

OPTIONS = [" a", " Mia", " x", "", " a cook in Rome"]
SCORED = [score(item, [None, *PICTURES][item % 4], OPTIONS[item % 5] or "?") for item in range(12)]


@pytest.mark.parametrize("kind", pico_vision.KINDS)
def test_likelihoods_are_the_models_own(kind: str, build: Build) -> None:
    lm = build(kind)
    inputs = Inputs(lm.processor)
    for request, (total, greedy) in zip(SCORED, lm.loglikelihood(SCORED), strict=True):
        visuals = request.args[2]["visual"] if len(request.args) > 2 else []
        tokens, images = inputs("".join(request.args[:2]), visuals, [str(request.doc_id)] * len(visuals))
        with torch.no_grad():
            logs = lm.model(**collate([{**tokens, **images}], 0)).logits[0].log_softmax(-1)
        count = len(request.args[1])  # one token a character
        wanted = tokens["input_ids"][-count:]
        logs = logs[-1 - count : -1]
        assert total == pytest.approx(float(logs.gather(1, wanted[:, None]).sum()), abs=1e-9)
        assert greedy == bool((logs.argmax(-1) == wanted).all())


def test_a_greedy_answer_is_the_likeliest(build: Build) -> None:
    lm = build()
    lm.generate_until(REQUESTS)
    for item, picture in ((1, PICTURES[1]), (0, None)):
        answer = lm.generations["t", item, 0]["response"]
        found = lm.loglikelihood([score(item, picture, answer), score(item, picture, answer[:-1] + "Q")])
        assert found[0][1] and not found[1][1] and found[0][0] > found[1][0]


def test_text_alone_is_scored_as_lm_eval_scores_it(build: Build) -> None:
    lm = build()
    requests = [score(item, None, option) for item, option in enumerate([" a", " Mia", " is it"])]
    requests.append(Instance("loglikelihood", {}, ("Who? ", "Mia"), 0, metadata=("t", 8, 1)))  # a blank moves
    requests.append(Instance("loglikelihood", {}, ("", "Mia"), 0, metadata=("t", 9, 1)))
    theirs = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=2).loglikelihood(requests, disable_tqdm=True)
    ours = lm.loglikelihood(requests)
    assert [one for _, one in ours] == [one for _, one in theirs]
    assert [total for total, _ in ours] == pytest.approx([total for total, _ in theirs], abs=1e-5)


def test_an_option_of_no_tokens_is_refused(build: Build) -> None:
    with pytest.raises(UserError, match="0 of them the option's"):
        build().loglikelihood([score(0, PICTURES[0], "")])
    assert build().loglikelihood([]) == []


# -- lm-eval -----------------------------------------------------------------------------------------------------------

FUNCTIONS = """
import base64, io
from PIL import Image

def images(doc):
    return [Image.open(io.BytesIO(base64.b64decode(doc["image"])))]
"""
TASK = """
task: shown
output_type: {kind}
doc_to_text: "USER: {{{{ placeholder }}}}{{{{ question }}}}\\nASSISTANT:"
doc_to_target: "{target}"
{more}
metadata: {{version: 1}}
"""
GENERATING = "generation_kwargs: {until: ['#'], max_gen_toks: 5}\nmetric_list: [{metric: exact_match}]\n"
CHOOSING = 'doc_to_choice: "{{ options }}"\nmetric_list: [{metric: acc}]\n'
WITH_PICTURES = "doc_to_image: !function shown_images.images\n"


@pytest.mark.parametrize("kind", ["generate_until", "multiple_choice"])
@pytest.mark.parametrize("pictures", [True, False])
def test_a_task_runs_through_lm_eval(kind: str, pictures: bool, build: Build, tmp_path: Path) -> None:
    shown = "<image>\n" if pictures else ""
    fixed = {"answer": 1, "options": ["a cook", "Mia"], "placeholder": shown}
    rows: list[dict[str, Any]] = [{"question": question, **fixed} for question in QUESTIONS]
    for place, row in enumerate(rows):
        row["image"] = encode_picture(PICTURES[place % 3]) if pictures else ""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "shown_images.py").write_text(FUNCTIONS)
    more = (GENERATING if kind == "generate_until" else CHOOSING) + (WITH_PICTURES if pictures else "")
    target = "Mia" if kind == "generate_until" else "{{ answer }}"
    (tmp_path / "task.yaml").write_text(TASK.format(kind=kind, more=more, target=target))
    task = load_task(tmp_path / "task.yaml", data)
    lm = build()
    results = lm_eval.evaluator.evaluate(
        lm=lm,
        task_dict={"tasks": {"shown": task}, "groups": {}, "group_map": {}},
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = sorted(results["samples"]["shown"], key=lambda sample: sample["doc_id"])
    assert len(samples) == len(rows)
    for item, sample in enumerate(samples):
        picture = PICTURES[item % 3] if pictures else None
        if kind == "generate_until":
            request = ask(item, picture, ("#",), max_gen_toks=5)
            assert sample["resps"] == [build().generate_until([request])]
            assert ("shown", item, 0) in lm.generations
        else:
            found = build().loglikelihood([score(item, picture, f" {option}") for option in rows[0]["options"]])
            assert [one for _, one in found] == [one for ((_, one),) in sample["resps"]]
            totals = [total for ((total, _),) in sample["resps"]]
            assert totals == pytest.approx([total for total, _ in found], abs=1e-10)


def test_chat_templates_keep_the_placeholder(build: Build) -> None:
    for kind in ("llava", "qwen2_vl"):
        lm = build(kind)
        lm.processor.chat_template = (
            "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}"
            + lm.inputs.placeholder
            + "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
            "{% if add_generation_prompt %} assistant:{% endif %}"
        )
        history = [{"role": "user", "content": "<image>\nWho?"}]
        assert lm.apply_chat_template(history) == "user: <image>\nWho? assistant:"
        assert history == [{"role": "user", "content": "<image>\nWho?"}]
        assert lm.chat_template(True) == lm.processor.chat_template
        lm.processor.chat_template = None


# -- what it cannot run ------------------------------------------------------------------------------------------------


def test_runtimes_and_checkpoints_that_do_not_fit(build: Build) -> None:
    text = {"pretrained": pico.model(), "tokenizer": pico.tokenizer()}
    with pytest.raises(UserError, match="is no image-text checkpoint; this runtime shows pictures"):
        PlainMultimodalLM(Checkpoint(Path("pico")), MultimodalConfig(), **text)
    lm = build()
    shown = {"pretrained": lm.model, "tokenizer": lm.processor}
    with pytest.raises(UserError, match="it decodes text only, and 'llava' is an image-text model: use the runtime"):
        GenerationLM(Checkpoint(Path("pico")), MultimodalConfig(), **shown)
