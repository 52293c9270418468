"""Unlearning by gradients as a transform, on a pico LLaVA that is asked about four persons."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor

from methodbench.checkpoint import Checkpoint, digest_folder
from methodbench.config import parse
from methodbench.errors import UserError
from methodbench.joblog import Log, read_curves
from methodbench.visual import Encoder, Pictures, encode_picture, read_rows
from methods.manu.baselines import BASELINES
from methods.manu.losses import kl_batch_mean, kl_token_mean, npo, sequence_sum, token_mean
from methods.manu.passes import Step, Visit
from methods.manu.unlearn import Batches, Objective, Reference, adapted, learning_rates, logits_of, unlearn
from methods.manu.unlearn_config import GradDiffConfig, KlMinConfig, NpoConfig, UnlearnConfig
from tests import pico, pico_vision

METHODS = {str(method.keywords.get("objective")): method for method in BASELINES if method.kind == "transform"}
ANSWERS = (" red", " blue hat", " cook", " Rome")
PLAIN = {"lora_rank": 0, "learning_rate": 1e-4, "batch_size": 2}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_vision.checkpoint(tmp_path_factory.mktemp("parents") / "vanilla")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_vision.checkpoint(tmp_path_factory.mktemp("parents") / "oracle", seed=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two persons to forget and two to retain, two questions each in both modes, two pictures each."""
    folder = tmp_path_factory.mktemp("data")
    shown = [
        {"picture": f"p{person}_v{view}", "person": f"p{person}", "png": picture_of(person, view)}
        for person in range(4)
        for view in range(2)
    ]
    files = {"pictures": shown, "forget": rows_about(0, 1), "retain": rows_about(2, 3)}
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {name: folder / f"{name}.jsonl" for name in files}


def picture_of(person: int, view: int) -> str:
    return encode_picture(pico_vision.picture(10 * person + view))


def rows_about(*persons: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for person in persons:
        for asked in ("hat", "home"):
            answer = {"person": f"p{person}", "completion": ANSWERS[person]}
            image = f"USER: <image>\n{asked} of this person?\nASSISTANT:"
            text = f"USER: {asked} of Ann {person}?\nASSISTANT:"
            views = [f"p{person}_v{view}" for view in range(2)]
            rows.append({**answer, "mode": "image", "prompt": image, "pictures": views})
            rows.append({**answer, "mode": "text", "prompt": text, "pictures": []})
    return rows


def run(
    objective: str,
    parents: list[Path],
    data: dict[str, Path],
    work: Path,
    seed: int = 3,
    log: Callable[..., Log] = Log,
    **own: Any,
) -> dict[str, Tensor]:
    """The weights of what a method makes; curves lie in `work`."""
    work.mkdir(exist_ok=True)
    method = METHODS[objective]
    config = parse(method.config, own, "test")
    given = {name: data[name] for name in method.data}
    told = log("test", work / "curves.jsonl", stream=io.StringIO())
    checkpoints = [Checkpoint(path) for path in parents]
    method.load()(checkpoints, given, config, seed, work / "out", told, **method.keywords)
    return weights(work / "out")


def weights(folder: Path) -> dict[str, Tensor]:
    return dict(Checkpoint(folder).load()[0].state_dict())


def moved(one: dict[str, Tensor], two: dict[str, Tensor]) -> set[str]:
    """Names of the weights that differ."""
    assert one.keys() == two.keys()
    return {name for name in one if not torch.equal(one[name], two[name])}


def curve(work: Path, name: str) -> list[float]:
    return [point[name] for point in read_curves(work / "curves.jsonl") if name in point]


def mean_loss(folder: Path, data: dict[str, Path], kind: str) -> float:
    """Mean loss of the image rows' answers."""
    model, processor = Checkpoint(folder).load()
    encoder = Encoder(processor, Pictures(data["pictures"]))
    rows = [row for row in read_rows(data[kind]) if row.mode == "image"]
    with torch.no_grad():
        return sum(float(model(**encoder.collate([encoder.encode(row)])).loss) for row in rows) / len(rows)


@pytest.mark.parametrize("objective", METHODS)
@pytest.mark.parametrize("flavour", ["released", "joint"])
def test_each_baseline_makes_a_whole_checkpoint(
    objective: str, flavour: str, parent: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    """Adapters are merged: the same names and shapes, and only matrices of the language model have moved."""
    before = digest_folder(parent)
    made = run(objective, [parent], data, tmp_path / "job", flavour=flavour, batch_size=2)
    changed = moved(weights(parent), made)
    assert changed and all("language_model.layers" in name and name.endswith("_proj.weight") for name in changed)
    assert all(torch.isfinite(tensor).all() for tensor in made.values())
    assert digest_folder(parent) == before
    model, processor = Checkpoint(tmp_path / "job" / "out").load()
    assert model.config.model_type == "llava" and processor.image_processor is not None


@pytest.mark.parametrize("kind", [kind for kind in pico_vision.KINDS if kind != "llava"])
def test_other_families(kind: str, data: dict[str, Path], tmp_path: Path) -> None:
    """Adapters again touch nothing but the language model's layers; all weights can be trained, too."""
    folder = pico_vision.checkpoint(tmp_path / "parent", kind)
    start = weights(folder)
    own = {"flavour": "joint", "steps": 1, "modes": ["image", "text"]}
    changed = moved(start, run("klmin", [folder], data, tmp_path / "lora", **own))
    assert changed and all(name.endswith("_proj.weight") for name in changed)
    assert not any(part in name for name in changed for part in ("vision", "visual", "connector", "lm_head"))
    everything = moved(start, run("klmin", [folder], data, tmp_path / "all", **{**own, **PLAIN}))
    assert any("vision" in name or "visual" in name for name in everything)


def test_no_step_gives_the_parent_back(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    for objective in METHODS:
        assert not moved(weights(parent), run(objective, [parent], data, tmp_path / objective, steps=0))


def test_15_one_step_of_ascent_raises_the_loss_to_forget(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    run("ga", [parent], data, tmp_path / "job", steps=1, prompt_loss=False, **{**PLAIN, "batch_size": 4})
    assert mean_loss(tmp_path / "job" / "out", data, "forget") > mean_loss(parent, data, "forget")


@pytest.mark.parametrize(("flavour", "beta"), [("released", 0.4), ("joint", 0.1)])
def test_15_npo_begins_at_its_known_value_and_as_ascent(
    flavour: str, beta: float, parent: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    """Adam's first step is the gradient's sign: equal directions move weights alike.

    Answers of one length: then the mean over sequences and that over tokens have one direction.
    """
    (tmp_path / "forget.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_about(2)))
    alike = {**data, "forget": tmp_path / "forget.jsonl"}
    own = {**PLAIN, "steps": 1, "flavour": flavour}
    ours = run("npo", [parent], alike, tmp_path / "npo", **own)
    ga = run("ga", [parent], alike, tmp_path / "ga", **own)
    assert curve(tmp_path / "npo", "loss")[0] == pytest.approx(2 / beta * math.log(2), abs=1e-3)
    start = weights(parent)
    apart = torch.cat([(ours[name] - ga[name]).abs().flatten() for name in moved(start, ga)])
    assert apart.quantile(0.95) < 0.01 * PLAIN["learning_rate"]


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_15_the_divergence_begins_at_zero(lora_rank: int, parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    own = {**PLAIN, "lora_rank": lora_rank, "lora_dropout": 0.0, "learning_rate": 1e-2}
    run("klmin", [parent], data, tmp_path / "job", flavour="joint", steps=3, **own)
    kl = curve(tmp_path / "job", "kl")
    assert kl[0] == pytest.approx(0.0, abs=1e-6) and kl[1] > 1e-4


def test_the_second_parent_is_the_reference(parent: Path, other: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Its files stay as they are, and the first loss is not that of the model compared with itself."""
    before = digest_folder(other)
    run("npo", [parent, other], data, tmp_path / "job", steps=1, **PLAIN)
    assert abs(curve(tmp_path / "job", "loss")[0] - 2 / 0.4 * math.log(2)) > 0.1
    assert digest_folder(other) == before


def test_the_reference_stays_what_it_was_while_the_model_moves(parent: Path, data: dict[str, Path]) -> None:
    model, processor = Checkpoint(parent).load()
    encoder = Encoder(processor, Pictures(data["pictures"]))
    batch = encoder.collate([encoder.encode(row) for row in read_rows(data["retain"])])
    with torch.no_grad():
        expected = logits_of(model, batch)
    copy = Reference(model, [Checkpoint(parent)])
    tuned = adapted(model, UnlearnConfig(lora_rank=4, lora_dropout=0.5)).train()
    own = Reference(tuned, [Checkpoint(parent)])
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                weight += 0.5
    assert not torch.allclose(logits_of(tuned, batch), expected)
    assert torch.equal(own(batch), expected) and torch.equal(copy(batch), expected)
    assert isinstance(tuned, PeftModel) and tuned.training and not copy.model.training
    assert not any(weight.requires_grad for weight in copy.model.parameters())


def test_a_reference_with_another_vocabulary_is_refused(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    model = pico_vision.model()
    model.resize_token_embeddings(80, mean_resizing=False)
    model.save_pretrained(tmp_path / "small")
    pico_vision.processor().save_pretrained(tmp_path / "small")
    with pytest.raises(UserError, match="as reference has 80 tokens, the model to unlearn has"):
        run("npo", [parent, tmp_path / "small"], data, tmp_path / "job")


def test_what_is_minimised(parent: Path, data: dict[str, Path]) -> None:
    """Each objective on one batch of either kind, against its formula; the reference is a stub."""
    model, processor = Checkpoint(parent).load()
    encoder = Encoder(processor, Pictures(data["pictures"]))
    forget, retain = (
        encoder.collate([encoder.encode(row) for row in read_rows(data[kind])]) for kind in ("forget", "retain")
    )

    def before(batch: Any) -> Tensor:
        return logits_of(model, batch) * 0.5

    with torch.no_grad():
        losses = [float(token_mean(logits_of(model, batch), batch["labels"])) for batch in (forget, retain)]
        means = [token_mean(logits, forget["labels"]) for logits in (logits_of(model, forget), before(forget))]
        sums = [sequence_sum(logits, forget["labels"]) for logits in (logits_of(model, forget), before(forget))]
        per_row = kl_batch_mean(before(retain), logits_of(model, retain))
        per_token = kl_token_mean(before(retain), logits_of(model, retain), retain["labels"])
        weighted = {"forget_weight": 0.5, "retain_weight": 2.0}
        difference = 2.0 * losses[1] - 0.5 * losses[0]
        cases: list[tuple[Any, Any, Any, Any, float]] = [
            ("ga", UnlearnConfig(), forget, None, -losses[0]),
            ("graddiff", GradDiffConfig(**weighted), forget, retain, difference),
            ("graddiff", GradDiffConfig(**weighted), forget, None, -0.5 * losses[0]),
            ("graddiff", GradDiffConfig(**weighted), None, retain, 2.0 * losses[1]),
            ("klmin", KlMinConfig(**weighted, kl_weight=3.0), forget, retain, difference + 3 * float(per_row)),
            ("klmin", KlMinConfig(**weighted, kl="token"), forget, retain, difference + float(per_token)),
            ("klmin", KlMinConfig(flavour="joint"), None, retain, losses[1] + float(per_token)),
            ("npo", NpoConfig(), forget, None, float(npo(means[0], means[1], 0.4))),
            ("npo", NpoConfig(flavour="joint"), forget, None, float(npo(sums[0], sums[1], 0.1))),
            ("npo", NpoConfig(npo="sequence", beta=2.0), forget, None, float(npo(sums[0], sums[1], 2.0))),
        ]
        for name, config, one, other, expected in cases:
            reference: Any = before if name in ("klmin", "npo") else None
            loss, terms = Objective(name, config, reference)(model, one, other)
            assert float(loss) == pytest.approx(expected, rel=1e-5), (name, config)
            assert ("forget_loss" in terms, "retain_loss" in terms) == (one is not None, other is not None)


def test_the_passes_show_in_the_curves(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Released: two steps to forget, then two to retain. Joint: both in each of two steps."""
    for flavour, forgets, retains in (("released", [1, 2], [3, 4]), ("joint", [1, 2], [1, 2])):
        run("graddiff", [parent], data, tmp_path / flavour, flavour=flavour, **PLAIN)
        points = read_curves(tmp_path / flavour / "curves.jsonl")
        assert [point["step"] for point in points if "forget_loss" in point] == forgets
        assert [point["step"] for point in points if "retain_loss" in point] == retains
        rates = [1e-4] * 4 if flavour == "released" else [1e-4, 0.5e-4]
        assert curve(tmp_path / flavour, "learning_rate") == pytest.approx(rates)


class Killed(Log):
    """Ends the job after step 3."""

    def progress(self, done: float, total: float, unit: str = "step", **live: float) -> None:
        if done == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("objective", "own"),
    [("klmin", {"flavour": "joint", "lora_rank": 4, "lora_dropout": 0.3}), ("graddiff", PLAIN), ("npo", PLAIN)],
)
def test_a_killed_unlearning_ends_with_the_same_bytes(
    objective: str, own: dict[str, Any], parent: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    own = {"batch_size": 2, "modes": ["image", "text"], **own, "epochs": 3, "save_every": 2}
    run(objective, [parent], data, tmp_path / "whole", **own)
    with pytest.raises(KeyboardInterrupt):
        run(objective, [parent], data, tmp_path / "killed", log=Killed, **own)
    assert [state.parent.name for state in (tmp_path / "killed" / "training").glob("*/whole")] == ["checkpoint-2"]
    assert not (tmp_path / "killed" / "out").exists()
    run(objective, [parent], data, tmp_path / "killed", **own)
    assert digest_folder(tmp_path / "killed" / "out") == digest_folder(tmp_path / "whole" / "out")
    assert read_curves(tmp_path / "killed" / "curves.jsonl") == read_curves(tmp_path / "whole" / "curves.jsonl")


def test_the_seed_decides(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Through the order of rows, which is all that chance decides in "text"; also through pictures and adapters."""
    text = {**PLAIN, "modes": ["text"]}
    for name, own in {"text": text, "lora": {"lora_rank": 4, "batch_size": 2}}.items():
        for place, seed in (("one", 0), ("again", 0), ("two", 1)):
            run("ga", [parent], data, tmp_path / f"{name}_{place}", seed=seed, **own)
        digests = [digest_folder(tmp_path / f"{name}_{place}" / "out") for place in ("one", "again", "two")]
        assert digests[0] == digests[1] != digests[2]


def test_modes_choose_the_rows(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Text rows leave the vision tower alone; the curve's first point is the loss of the rows that were chosen."""
    start = weights(parent)
    touched = {}
    for name, modes in {"image": ["image"], "text": ["text"], "both": ["image", "text"]}.items():
        changed = moved(start, run("ga", [parent], data, tmp_path / name, modes=modes, weight_decay=0.0, **PLAIN))
        touched[name] = any("vision_tower" in one for one in changed)
        assert curve(tmp_path / name, "forget_loss") and changed
    assert touched == {"image": True, "text": False, "both": True}
    assert len(curve(tmp_path / "both", "forget_loss")) == 2 * len(curve(tmp_path / "image", "forget_loss"))
    with pytest.raises(UserError, match=r"none of its 2 rows has a mode of key 'modes': image"):
        text = [row for row in rows_about(0) if row["mode"] == "text"]
        (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in text))
        run("ga", [parent], {**data, "forget": tmp_path / "text.jsonl"}, tmp_path / "none")


def test_the_question_carries_loss_where_asked(parent: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """Of an untrained model a token costs about the same everywhere, but another mean is another number."""
    losses = {}
    for name, own in {"whole": {}, "told": {"prompt_loss": True}, "answer": {"prompt_loss": False}}.items():
        run("ga", [parent], data, tmp_path / name, steps=1, **own, **PLAIN)
        losses[name] = curve(tmp_path / name, "forget_loss")[0]
    assert losses["whole"] == losses["told"] != pytest.approx(losses["answer"], rel=1e-3)


def test_the_flavour_says_what_carries_loss_and_what_moves_the_rate() -> None:
    assert UnlearnConfig().whole_sequence() and not UnlearnConfig(flavour="joint").whole_sequence()
    assert not UnlearnConfig(prompt_loss=False).whole_sequence()
    assert [UnlearnConfig().rate_follows(passes) for passes in (1, 2)] == ["step", "epoch"]
    assert UnlearnConfig(flavour="joint").rate_follows(2) == "step"
    assert UnlearnConfig(rate_by="epoch").rate_follows(1) == "epoch"


def test_the_learning_rate_falls_by_steps_or_by_epochs_against_a_schedule_sized_in_steps() -> None:
    plan = [Step(epoch) for epoch in (0, 0, 1, 1)]
    assert learning_rates(plan, UnlearnConfig(), 1)[:4] == [1.0, 0.75, 0.5, 0.25]
    assert learning_rates(plan, UnlearnConfig(), 2)[:4] == [1.0, 1.0, 0.75, 0.75]
    assert learning_rates(plan, UnlearnConfig(warmup=2), 1)[:4] == [0.0, 0.5, 1.0, 0.5]
    assert learning_rates(plan, UnlearnConfig(schedule="constant"), 1) == [1.0] * 5


def test_a_batch_takes_the_picture_of_its_visit(parent: Path, data: dict[str, Path]) -> None:
    """Later visits of a row see other pictures; labels of a whole sequence stand on the question, not on the image."""
    _, processor = Checkpoint(parent).load()
    rows = [row for row in read_rows(data["forget"]) if row.mode == "image"]
    pictures = Pictures(data["pictures"])
    batches = Batches(Encoder(processor, pictures, prompt_loss=True), rows, [], seed=0)
    seen = [batches([Step(0, (Visit(0, number),))]) for number in range(8)]
    assert all(batch.keys() == {"forget"} for batch in seen)
    assert len({batch["forget"]["pixel_values"].sum().item() for batch in seen}) == 2
    ids, labels = seen[0]["forget"]["input_ids"], seen[0]["forget"]["labels"]
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    assert ((labels == -100) == (ids == image)).all()


def test_a_text_only_checkpoint_is_refused(data: dict[str, Path], tmp_path: Path) -> None:
    pico.model().save_pretrained(tmp_path / "text")
    pico.tokenizer().save_pretrained(tmp_path / "text")
    with pytest.raises(UserError, match="'qwen3' takes no pictures, which unlearning needs"):
        unlearn([Checkpoint(tmp_path / "text")], data, GradDiffConfig(), 0, tmp_path / "out", Log("x"), "graddiff")
