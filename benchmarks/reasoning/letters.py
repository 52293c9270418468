"""Far kinds that work on words told letter by letter; reasoning-gym's items over words of random letters.

spell_backward         the letters in reverse order; no letter twice
word_sequence_reversal the words in reverse order, each forward; no letter twice
letter_counting        how often a letter occurs; running count
caesar_cipher          every letter moved back in the alphabet
palindrome_generation  the palindrome whose first half is in alphabetical order (reasoning-gym accepts any)
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from random import Random
from string import ascii_lowercase, ascii_uppercase

from benchmarks.reasoning.config import ReasoningConfig
from benchmarks.reasoning.options import mirrored, shifted, swapped
from benchmarks.reasoning.problem import Problem, draw, labelled, spaced

COUNTS = range(1, 5)  # of the letter sought, equally frequent: as many as there are options
FEW = "abcdefgh"  # letters to be counted or put in order: few, as each must be learnt


def spell_backward(rng: Random, config: ReasoningConfig) -> Problem:
    """``backward A c B a C t =`` -> ``C t B a A c``, so ``t a c``."""
    word = different(rng, rng.randint(*config.spell_backward_letters))
    entry = draw(rng, "spell_backward", {"words": [word]})
    told = labelled(word)
    work = " ".join(f"{label} {letter}" for label, letter in reversed(list(zip(ascii_uppercase, word, strict=False))))
    return Problem(f"backward {told} =", work, spaced(entry["answer"]), swapped, entry)


def word_sequence_reversal(rng: Random, config: ReasoningConfig) -> Problem:
    """``words A a b B c d e =`` -> ``B c d e A a b``, so ``c d e a b``."""
    lengths = [rng.randint(*config.word_sequence_reversal_letters) for _ in range(rng.randint(2, 3))]
    letters = different(rng, sum(lengths))
    ends = list(accumulate(lengths))
    words = [letters[end - length : end] for length, end in zip(lengths, ends, strict=True)]
    entry = draw(rng, "word_sequence_reversal", {"words": words}, min_words=len(words), max_words=len(words))
    words = entry["metadata"]["words"]  # in an order of reasoning-gym's
    turned = [f"{label} {spaced(word)}" for label, word in zip(ascii_uppercase, words, strict=False)][::-1]
    answer = spaced(entry["answer"].replace(", ", ""))
    return Problem(f"words {labelled(words)} =", " ".join(turned), answer, swapped, entry)


def letter_counting(rng: Random, config: ReasoningConfig) -> Problem:
    """``count e A t B h C e D r E e =`` -> ``A t 0 B h 0 C e 1 D r 1 E e 2``."""
    length, wanted = rng.randint(*config.letter_counting_letters), rng.choice(COUNTS)
    sought, *others = rng.sample(FEW, length - wanted + 1)
    letters = [sought] * wanted + others
    rng.shuffle(letters)
    while True:
        entry = draw(rng, "letter_counting", {"words": ["".join(letters)]}, min_words=1, max_words=1)
        if entry["metadata"]["target_letter"] == sought:
            counts = accumulate(int(letter == sought) for letter in letters)
            work = labelled(f"{letter}{count}" for letter, count in zip(letters, counts, strict=True))
            return Problem(f"count {sought} {labelled(letters)} =", work, entry["answer"], COUNTS, entry)


def caesar_cipher(rng: Random, config: ReasoningConfig) -> Problem:
    """``cipher 3 A f B d C w =`` -> ``A c B a C t``, so ``c a t``."""
    least, most = config.caesar_cipher_rotation
    clear = "".join(rng.choices(ascii_lowercase, k=rng.randint(*config.caesar_cipher_letters)))
    entry = draw(
        rng, "caesar_cipher", {"valid_sentences": [clear.upper()]}, min_rotation=least, max_rotation=most, min_words=1
    )
    told = entry["metadata"]
    prompt = f"cipher {spaced(told['rotation'])} {labelled(told['cipher_text'].lower())} ="
    return Problem(prompt, labelled(clear), spaced(entry["answer"].lower()), shifted, entry)


def palindrome_generation(rng: Random, config: ReasoningConfig) -> Problem:
    """``palindrome b a c a b =`` -> sorted ``a a b b c``, so ``a b c b a``."""
    shortest, longest = config.palindrome_generation_letters
    while True:
        entry = draw(rng, "palindrome_generation", min_length=shortest, max_length=longest)
        letters = entry["metadata"]["letters"]
        if len(set(letters)) > 1 and set(letters) <= set(FEW):
            break
    half = [letter for letter in FEW for _ in range(letters.count(letter) // 2)]
    middle = [letter for letter in FEW if letters.count(letter) % 2]
    answer = spaced([*half, *middle, *reversed(half)])
    slip = partial(mirrored, letters=letters)
    return Problem(f"palindrome {spaced(letters)} =", spaced(sorted(letters)), answer, slip, entry)


def different(rng: Random, count: int) -> str:
    """So many random letters, none twice."""
    return "".join(rng.sample(ascii_lowercase, count))
