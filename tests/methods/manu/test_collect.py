"""What passes through the model's hooks: the right activations, each layer's own, none of padding; planted neurons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from methodbench.config import parse
from methodbench.visual import Encoder, VisualRow, collate
from methods.manu.collect import Watch, batches, collect, collect_pooled, forward, measured
from methods.manu.config import ScoresConfig, settled
from methods.manu.neurons import Part, candidates, every
from methods.manu.pruning import prune
from methods.manu.scoring import Sets, scored
from methods.manu.statistics import Moments
from tests import pico_vision
from tests.methods.manu import world
from tests.methods.manu.world import COUNTING

KINDS = pico_vision.KINDS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return world.write(tmp_path_factory.mktemp("world"))


def close(first: dict[str, Moments], second: dict[str, Moments], rtol: float = 1e-4) -> None:
    for key, moments in first.items():
        assert moments.count == second[key].count
        for name in ("absolute", "squares"):
            assert torch.allclose(getattr(moments, name), getattr(second[key], name), rtol=rtol, atol=1e-3), key


@pytest.mark.parametrize("kind", KINDS)
def test_sums_do_not_depend_on_the_batch_size(kind: str, files: dict[str, Path]) -> None:
    """Invariant 10, through every family: rows of several lengths, one by one and eight at a time."""
    encoder, sets = world.opened(files, kind)
    model = pico_vision.model(kind)
    parts = every(model, "hidden")
    rows = [row for row in sets["retain"] if row.mode == "image"]
    one, many = (collect(model, encoder, rows, parts, replace(COUNTING, batch_size=size)) for size in (1, 8))
    close(one, many)
    language = next(part for part in parts if part.tower == "language")
    assert one[language.key].count == sum(len(encoder.encode(row)["input_ids"]) for row in rows)


@pytest.mark.parametrize("side", ["left", "right"])
def test_sums_do_not_depend_on_padding(side: str, files: dict[str, Path]) -> None:
    """Invariant 10: on either side, however much of it."""
    encoder, sets = world.opened(files)
    model = pico_vision.model()
    parts = [part for part in every(model, "hidden") if part.tower == "language"]
    rows = [row for row in sets["forget"] if row.mode == "text"]
    found = {part.key: COUNTING.moments(part) for part in parts}
    batch = collate([encoder.encode(row) for row in rows], pad=0, side=side)
    more = 5
    ends = (more, 0) if side == "left" else (0, more)
    batch = {name: torch.nn.functional.pad(tensor, ends) for name, tensor in batch.items()}
    positions = measured(batch["attention_mask"], False, model.device)

    def take(part: Part, z: Tensor) -> None:
        found[part.key].add(z.flatten(0, 1)[positions])

    with Watch(parts, take):
        forward(model, batch)
    close(found, collect(model, encoder, rows, parts, replace(COUNTING, batch_size=1)))


def test_the_last_token_of_each_row() -> None:
    """On padding of either side."""
    mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]])
    places = measured(mask, True, torch.device("cpu"))
    assert places is not None and places.tolist() == [1, 7, 11, 12]
    assert measured(torch.ones(2, 3), False, torch.device("cpu")) is None


def test_text_runs_no_vision_neuron(files: dict[str, Path]) -> None:
    """Invariant 11: its sums stay empty."""
    encoder, sets = world.opened(files)
    model = pico_vision.model()
    found = collect(
        model, encoder, [row for row in sets["forget"] if row.mode == "text"], every(model, "hidden"), COUNTING
    )
    for key, moments in found.items():
        assert (moments.count == 0) == ("vision" in key)


def test_hooks_are_gone_afterwards_also_after_an_error(files: dict[str, Path]) -> None:
    encoder, sets = world.opened(files)
    model = pico_vision.model()
    forward(model, encoder.collate([encoder.encode(sets["forget"][0])]))  # transformers sets hooks of its own
    before = _hooks(model)
    parts = every(model, "hidden") + every(model, "rows")
    collect(model, encoder, sets["forget"], parts, COUNTING)

    def fail(part: Part, z: Tensor) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), Watch(parts, fail):
        forward(model, encoder.collate([encoder.encode(sets["forget"][0])]))
    assert _hooks(model) == before


def _hooks(model: PreTrainedModel) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_hidden_units_and_rows_are_what_the_mlp_computes(files: dict[str, Path]) -> None:
    """z = SiLU(gate h) * (up h) in the language model, act(fc1 h) in the vision tower."""
    encoder, sets = world.opened(files)
    model = pico_vision.model()
    seen: dict[tuple[str, str], Tensor] = {}

    def take(part: Part, z: Tensor) -> None:
        seen[part.path, part.name] = z

    with Watch(every(model, "hidden") + every(model, "rows"), take):
        forward(model, encoder.collate([encoder.encode(sets["forget"][0])]))
    for path in {path for path, _ in seen}:
        z = seen[path, "hidden"]
        if "vision" in path:
            expected = model.get_submodule(path).activation_fn(seen[path, "fc1"])
        else:
            expected = torch.nn.functional.silu(seen[path, "gate_proj"]) * seen[path, "up_proj"]
        assert torch.equal(z, expected)


def test_layers_have_statistics_of_their_own_except_in_the_buggy_mode(files: dict[str, Path]) -> None:
    """Invariant 12, against the fault of M§2.4-4."""
    encoder, sets = world.opened(files)
    model = pico_vision.model()
    shut = replace(COUNTING, clamp=1000.0, batch_size=3)  # two equal batches
    parts = [part for part in every(model, "rows") if part.name == "fc1"]
    rows = [row for row in sets["forget"] if row.mode == "image"]
    found = collect(model, encoder, rows, parts, shut)
    first, second, third = (found[part.key].summary().mean for part in parts)
    assert not torch.allclose(first, second, rtol=0.05) and not torch.allclose(second, third, rtol=0.05)
    # Over equal batches, the pooled mean is that of all layers together.
    pooled = collect_pooled(model, encoder, rows, parts, shut)
    assert torch.allclose(pooled["vision", "fc1"].abs, (first + second + third) / 3, rtol=1e-6)


def test_all_pictures_of_a_row_when_asked_for(files: dict[str, Path]) -> None:
    encoder, sets = world.opened(files)
    rows = [row for row in sets["forget"] if row.mode == "image"][:3]
    sizes = [size for _, size in batches(rows, encoder, replace(COUNTING, pictures=2))]
    assert sizes == [4, 2]
    assert [size for _, size in batches(rows, encoder, replace(COUNTING, pictures=9))] == [4, 2], "there are two"


def test_batches_hold_pictures_of_one_size(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Idefics2 pads the smaller of two; apart, every patch is one of a picture."""
    encoder, sets = world.opened(files, "idefics2")
    image = encoder.pictures.image if encoder.pictures else None
    assert image is not None
    monkeypatch.setattr(
        encoder.pictures, "image", lambda name: image(name) if name.startswith("p2") else image(name).resize((16, 8))
    )
    rows = [row for row in sets["retain"] if row.mode == "image" and row.person in ("p2", "p3")]
    model = pico_vision.model("idefics2")
    parts = [part for part in every(model, "hidden") if part.tower == "vision"]
    found = [collect(model, encoder, rows, parts, replace(COUNTING, batch_size=size)) for size in (1, 8)]
    close(*found)


# -- planted neurons ---------------------------------------------------------------------------------------------------


def score_by_part(model: PreTrainedModel, encoder: Encoder, chosen: Sets, **keys: object) -> dict[str, Tensor]:
    config = parse(ScoresConfig, keys, "test")
    settings = settled(config)
    parts = candidates(model, config, settings)
    return {one.part.path: one.score for one in scored(model, encoder, chosen, parts, config, settings, world.quiet())}


def marked(row: VisualRow) -> VisualRow:
    """The row with a token that no other row has."""
    return replace(row, prompt=row.prompt.replace("?", "#?"))


def test_a_planted_language_neuron_is_found_and_pruning_it_touches_nothing_else(files: dict[str, Path]) -> None:
    """Invariant 7: unit 17 of block 0 answers to '#', which only forget rows hold."""
    encoder, sets = world.opened(files)
    model, unit = pico_vision.model(), 17
    inner, marker = model.model, encoder.inputs.tokenizer.convert_tokens_to_ids("#")
    block = inner.language_model.layers[0]
    with torch.no_grad():
        table = inner.language_model.embed_tokens.weight
        table[:, 31] = 0
        table[marker] = 0
        table[marker, 31] = 1
        inner.multi_modal_projector.linear_2.weight[31] = 0
        inner.multi_modal_projector.linear_2.bias[31] = 0
        block.self_attn.o_proj.weight.zero_()
        for linear in (block.mlp.gate_proj, block.mlp.up_proj):
            linear.weight[unit] = 0
            linear.weight[unit, 31] = 1
    chosen = Sets([marked(row) for row in sets["forget"]], sets["retain"], frozenset())
    scores = score_by_part(model, encoder, chosen)["model.language_model.layers.0.mlp"]
    assert scores.argmax() == unit and scores[unit] > 1000 * scores[:unit].max()

    clean = encoder.collate([encoder.encode(row) for row in sets["retain"]])
    told = encoder.collate([encoder.encode(row) for row in chosen.forget])
    before = [_logits(model, batch) for batch in (clean, told)]
    (part,) = (part for part in every(model, "hidden") if part.path == "model.language_model.layers.0.mlp")
    prune(part, torch.tensor([unit]))
    after = [_logits(model, batch) for batch in (clean, told)]
    assert torch.equal(after[0], before[0])
    assert (after[1] - before[1]).abs().max() > 0.1


def test_a_planted_vision_neuron_is_found_and_pruning_it_touches_nothing_else(files: dict[str, Path]) -> None:
    """Invariant 7: unit 5 of vision layer 0 answers to a black and white patch, which only forget pictures hold."""
    encoder, sets = world.opened(files)
    assert encoder.pictures is not None
    model, unit, path = pico_vision.model(), 5, "model.vision_tower.encoder.layers.0.mlp"
    _mark_pictures(encoder, world.FORGET)
    mlp = model.get_submodule(path)
    inputs: dict[str, list[Tensor]] = {"forget": [], "retain": []}
    for name, into in inputs.items():
        handle = mlp.register_forward_pre_hook(lambda module, given, into=into: into.append(given[0]))
        for batch, _ in batches([row for row in sets[name] if row.mode == "image"], encoder, COUNTING):
            forward(model, batch)
        handle.remove()
    forget, retain = (torch.cat(found).flatten(0, 1) for found in inputs.values())
    marker = forget.view(-1, 17, 32)[:, 1].mean(0)  # behind the class token comes the upper left patch
    direction = marker - retain.mean(0)
    reach, others = float(marker @ direction), float((retain @ direction).max())
    assert reach > others, "the marker is not separable; choose another patch"
    gain = 400 / (reach - others)
    with torch.no_grad():
        mlp.fc1.weight[unit] = gain * direction
        mlp.fc1.bias[unit] = -gain * (reach + others) / 2  # the marker gives 200, whatever else at most -200

    chosen = Sets(sets["forget"], sets["retain"], frozenset())
    scores = score_by_part(model, encoder, chosen)[path]
    assert scores.argmax() == unit and scores[unit] > 100 * scores[:unit].max()

    clean = encoder.collate([encoder.encode(row) for row in sets["retain"]])
    seen = encoder.collate([encoder.encode(row) for row in sets["forget"]])
    before = [_logits(model, batch) for batch in (clean, seen)]
    (part,) = (part for part in every(model, "hidden") if part.path == path)
    prune(part, torch.tensor([unit]))
    after = [_logits(model, batch) for batch in (clean, seen)]
    assert torch.equal(after[0], before[0])
    assert (after[1] - before[1]).abs().max() > 0.1


def _mark_pictures(encoder: Encoder, persons: tuple[str, ...]) -> None:
    """Draw a checkered patch into the upper left of every picture of these persons."""
    assert encoder.pictures is not None
    plain = encoder.pictures.image

    def image(name: str) -> object:
        found = plain(name)
        if name.startswith(persons):
            for x in range(4):
                for y in range(4):
                    found.putpixel((x, y), (255, 255, 255) if (x + y) % 2 else (0, 0, 0))
        return found

    encoder.pictures.image = image  # type: ignore[method-assign, assignment]


@torch.no_grad()
def _logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    logits: Tensor = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    return logits
