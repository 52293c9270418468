"""Documents read once: which tokens a span has, and that one pass gives what a pass a span gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from methodbench.builtin.pretrain import word_tokenizer
from methodbench.builtin.pretrain_config import PretrainConfig
from methodbench.documents import Document, Reading, encode, read
from methodbench.errors import UserError
from tests import pico

TEXT = "the cat sat  on\n\n the mat. the dog sat\n\nagain and again, and the cat ran"


def words() -> PreTrainedTokenizerFast:
    """Tokens are words; blanks are between them."""
    return word_tokenizer([TEXT], PretrainConfig())


def byte_pairs(trim: bool = False, first: str | None = None) -> PreTrainedTokenizerFast:
    """Tokens begin with the blank before them. `trim`: their places do not; `first`: a token put before every text."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<end>", "<first>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    inner.train_from_iterator([TEXT] * 3, trainer)
    steps: list[Any] = [processors.ByteLevel(trim_offsets=trim)]
    if first:
        steps.append(
            processors.TemplateProcessing(single=f"{first} $A", special_tokens=[(first, inner.token_to_id(first))])
        )
    inner.post_processor = processors.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>", bos_token=first)


TOKENIZERS = {
    "words": words,
    "byte pairs": byte_pairs,
    "trimmed byte pairs": lambda: byte_pairs(trim=True),
    "a token before the text": lambda: byte_pairs(first="<first>"),
    "trimmed, a token before the text": lambda: byte_pairs(trim=True, first="<first>"),
}


def model_for(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    model = pico.model()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model


def spans_of(text: str) -> list[list[Any]]:
    """Every word with the blank before it, from the second on, and all after the first."""
    starts = [place for place, character in enumerate(text) if character == " " and text[place + 1 : place + 2] != " "]
    ends = [*starts[1:], len(text)]
    return [*([start, end, "word"] for start, end in zip(starts, ends, strict=True)), [starts[0], len(text), "rest"]]


# -- tokens of a span --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_span_has_the_tokens_that_lm_eval_would_score(name: str) -> None:
    """Those of the text to the span's end without those of the text before it."""
    tokenizer, text = TOKENIZERS[name](), TEXT.replace("  ", " ")
    document = encode(tokenizer, text, spans_of(text))
    assert document.ids == tokenizer.encode(text)
    for (first, last), (start, end, _) in zip(document.spans, spans_of(text), strict=True):
        assert (first, last) == (len(tokenizer.encode(text[:start])), len(tokenizer.encode(text[:end])))


@pytest.mark.parametrize("name", list(TOKENIZERS)[1:])
def test_a_blank_alone_is_a_token_of_its_span(name: str) -> None:
    """Also where its place has no width."""
    tokenizer = TOKENIZERS[name]()
    start, end = TEXT.index("  on"), TEXT.index("\n")
    ((first, last),) = encode(tokenizer, TEXT, [[start, end]]).spans
    assert tokenizer.decode(tokenizer.encode(TEXT)[first:last]) == "  on"


def test_a_token_put_before_the_text_belongs_to_no_span_and_can_be_left_out() -> None:
    tokenizer = byte_pairs(first="<first>")
    with_it, without = encode(tokenizer, TEXT, [[3, 7]]), encode(tokenizer, TEXT, [[3, 7]], add_special_tokens=False)
    assert with_it.ids == [tokenizer.bos_token_id, *without.ids]
    assert with_it.spans == [(first + 1, last + 1) for first, last in without.spans]
    assert encode(tokenizer, TEXT, [[0, 7]]).spans[0][0] == 1, "the first word has something before it"


@pytest.mark.parametrize("span", [[0, 7], [3, 3], [4, 4], [len(TEXT), len(TEXT) + 5]])
def test_a_span_without_a_token_or_with_nothing_before_it(span: list[int]) -> None:
    start, end = span
    said = f"^document: the span {TEXT[start:end]!r} at {start} has no token or nothing before it$"
    with pytest.raises(UserError, match=said):
        encode(words(), TEXT, [[7, 11], span])


# -- one pass ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def by_hand(model: PreTrainedModel, document: Document) -> list[tuple[float, bool]]:
    """A pass for each span, which ends with it."""
    found = []
    for first, last in document.spans:
        logits = model(torch.tensor([document.ids[: last - 1]])).logits[0, first - 1 :]
        targets = torch.tensor(document.ids[first:last])
        likelihood = logits.log_softmax(-1).gather(1, targets[:, None]).sum()
        found.append((float(likelihood), bool((logits.argmax(-1) == targets).all())))
    return found


@pytest.mark.parametrize("rows", [1, 2, 32])
def test_documents_of_one_length_share_a_pass(rows: int) -> None:
    """At most `rows` of them, the longest first; every one comes back once, with its row in the pass."""
    tokenizer, shapes = words(), []
    model = model_for(tokenizer)
    texts = [
        "the cat sat on the mat",
        "the dog ran again",
        "the mat sat on the dog",
        "again and again ,",
        "the cat ran",
    ]
    documents = [encode(tokenizer, text, spans_of(text)) for text in texts]
    handle = model.register_forward_pre_hook(
        lambda module, arguments, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    found = list(read(model, documents, rows))
    handle.remove()
    assert (
        shapes
        == {
            1: [(1, 6), (1, 6), (1, 4), (1, 4), (1, 3)],
            2: [(2, 6), (2, 4), (1, 3)],
            32: [(2, 6), (2, 4), (1, 3)],
        }[rows]
    )
    assert [(index, row) for index, row, _ in found] == [(0, 0), (2, int(rows > 1)), (1, 0), (3, int(rows > 1)), (4, 0)]
    for index, _, reading in found:
        for (ours, greedy), (theirs, as_greedy) in zip(reading.scores, by_hand(model, documents[index]), strict=True):
            assert ours == pytest.approx(theirs, abs=1e-4) and greedy == as_greedy


@pytest.mark.parametrize("kind", ["gpt2", "mamba", "mamba2", "zamba2"])
def test_every_architecture_reads_the_same_as_span_by_span(kind: str) -> None:
    model = pico.model(kind)
    ids = torch.randint(4, pico.VOCABULARY, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for place in (20, 21, 22):  # what the model itself would say
            ids[0, place] = model(ids[:, :place]).logits[0, -1].argmax()
    document = Document(ids[0].tolist(), [(30, 40), (20, 23), (1, 2), (20, 24)])
    ((_, _, reading),) = read(model, [document], 4)
    want = by_hand(model, document)
    assert [greedy for _, greedy in reading.scores] == [greedy for _, greedy in want]
    assert [greedy for _, greedy in want][1]
    assert [total for total, _ in reading.scores] == pytest.approx([total for total, _ in want], abs=1e-3)


def test_no_documents_take_no_pass() -> None:
    assert list(read(pico.model(), [], 4)) == []
    assert Reading([]).record == {}
