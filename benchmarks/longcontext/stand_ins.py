"""Hand-made items in the published sets' form, so that a paper config can be tried offline. No published item."""

from __future__ import annotations

from typing import Any


def needles(kind: str, told: str, asked: str, *answers: str) -> list[dict[str, Any]]:
    """One item of a needle task, as lm-eval's makers give it."""
    return [
        {
            "input": f"Remember the {kind} in this text.\n{told}\nWhich {kind} does the text give for {asked}?",
            "outputs": list(answers),
            "gen_prefix": f"The {kind} for {asked}:",
        }
    ]


def listing(told: str, asked: str, *answers: str) -> list[dict[str, Any]]:
    """One item of another task, as lm-eval's makers give it."""
    return [{"input": told, "outputs": list(answers), "gen_prefix": asked}]


RULER_ITEMS: dict[str, list[dict[str, Any]]] = {
    "ruler_niah_single_1": needles(
        "number", "Rain falls. The number for calm-oak is 4821960. Rain falls.", "calm-oak", "4821960"
    ),
    "ruler_niah_single_2": needles(
        "number", "We sailed on. The number for red-fern is 1730482. Then it snowed.", "red-fern", "1730482"
    ),
    "ruler_niah_single_3": needles(
        "code", "We sat down. The code for dry-moss is 7f3a-11c9. We ate.", "dry-moss", "7f3a-11c9"
    ),
    "ruler_niah_multikey_1": needles(
        "number", "For wet-ash it is 3350127. For old-elm it is 9042816.", "old-elm", "9042816"
    ),
    "ruler_niah_multikey_2": needles(
        "number", "For shy-fox it is 5561203.\nFor big-owl it is 7718340.", "shy-fox", "5561203"
    ),
    "ruler_niah_multikey_3": needles("code", "For 0c1d it is 99ab-27.\nFor 5e7f it is 40cd-81.", "5e7f", "40cd-81"),
    "ruler_niah_multivalue": needles(
        "numbers", "For tin-cup it is 2204817, and for tin-cup also 6690153.", "tin-cup", "2204817", "6690153"
    ),
    "ruler_niah_multiquery": needles(
        "numbers", "For far-sea it is 8127345. For low-sun it is 3398104.", "far-sea and low-sun", "8127345", "3398104"
    ),
    "ruler_vt": listing(
        "VAR KQZ = 51877. Grass grows. VAR TRW = VAR KQZ. Which variables are 51877?", "They are:", "KQZ", "TRW"
    ),
    "ruler_cwe": listing(
        "1. pear 2. tram 3. pear 4. moth 5. tram 6. reed", "The most common words are:", "pear", "tram"
    ),
    "ruler_fwe": listing(
        "xqlu xqlu ... pdor xqlu pdor ... vemi pdor vemi yots", "The most frequent ones are:", "xqlu", "pdor", "vemi"
    ),
    "ruler_qa_squad": listing(
        "Document 1:\nThe Arn bridge was built in 1811.\nWhen was it built?", "Answer:", "1811", "in 1811"
    ),
    "ruler_qa_hotpot": listing("Document 1:\nIda Holm was born in Lund.\nWhere was she born?", "Answer:", "Lund"),
}


def item(task: str, context: str, question: str, *answers: str, classes: tuple[str, ...] = ()) -> dict[str, Any]:
    """One row with the columns of the authors' archive."""
    return {
        "_id": f"stand-in-{task}",
        "context": context,
        "input": question,
        "answers": list(answers),
        "all_classes": list(classes) or None,
    }


LONGBENCH_ITEMS: dict[str, list[dict[str, Any]]] = {
    "qasper": [
        item("qasper", "We train on two corpora of letters.", "How many corpora are used?", "two", "two corpora")
    ],
    "multifieldqa_en": [
        item("multifieldqa_en", "The ferry to Skar leaves at noon.", "When does the ferry leave?", "At noon")
    ],
    "hotpotqa": [
        item(
            "hotpotqa",
            "Passage 1:\nAda Frey wrote Low Tide.\nPassage 2:\nFrey lived in Varn.",
            "Where did the author live?",
            "Varn",
        )
    ],
    "2wikimqa": [
        item(
            "2wikimqa",
            "Passage 1:\nThe film Dunes is by Per Lind.\nPassage 2:\nPer Lind died in 1950.",
            "When did the maker of Dunes die?",
            "1950",
        )
    ],
    "gov_report": [
        item(
            "gov_report",
            "The office checked nine dams. Two need repair.",
            "",
            "The office found that two of nine dams need repair.",
        )
    ],
    "multi_news": [
        item(
            "multi_news",
            "Passage 1:\nA storm hit Oldbrook.\nPassage 2:\nSchools in Oldbrook are closed.",
            "",
            "A storm closed the schools of Oldbrook.",
        )
    ],
    "trec": [
        item(
            "trec",
            "Question: Who paints?\nType: Individual",
            "Question: Where is Varn?\nType:",
            "Location",
            classes=("Individual", "Location", "Date"),
        )
    ],
    "triviaqa": [
        item(
            "triviaqa",
            "Passage:\nIce is water.\nQuestion:\nWhat is ice?\nAnswer:\nWater",
            "Passage:\nSnow is white.\nQuestion:\nWhat colour is snow?\nAnswer:\n",
            "White",
            "the colour white",
        )
    ],
    "samsum": [
        item(
            "samsum",
            "Dialogue: A: Tea? B: Yes.\nSummary: B wants tea.",
            "Dialogue: Kim: Bus is late. Lee: I wait.\nSummary: ",
            "Kim's bus is late and Lee waits.",
        )
    ],
    "passage_count": [item("passage_count", "Paragraph 1: Owls.\nParagraph 2: Mice.\nParagraph 3: Owls.", "", "2")],
    "passage_retrieval_en": [
        item(
            "passage_retrieval_en",
            "Paragraph 1: Of mills and rivers.\nParagraph 2: Of bells.",
            "It is about bells.",
            "Paragraph 2",
        )
    ],
    "lcc": [item("lcc", "def double(x):\n    y = 2 * x\n", "", "    return y")],
    "repobench-p": [
        item("repobench-p", "# path: a.py\nclass Door:\n    pass\n", "from a import Door\n", "door = Door()")
    ],
}
