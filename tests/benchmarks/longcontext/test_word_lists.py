"""Counts of the two lists, for every size up to some thousand words."""

from __future__ import annotations

from benchmarks.longcontext.word_lists import RATIO, SHORTEST, common_counts, frequent_counts


def test_common_words_stand_four_times_as_often_as_any_other() -> None:
    asked, others = ["a", "b", "c"], [f"o{place}" for place in range(80)]
    for size in range(SHORTEST, 3000):
        counts = common_counts(size, asked, others)
        assert sum(counts.values()) == size
        assert len({counts[word] for word in asked}) == 1
        assert counts["a"] >= RATIO * max(counts[word] for word in others)
        assert min(counts.values()) >= 0


def test_the_three_most_frequent_words_are_the_first_three() -> None:
    for size in range(SHORTEST, 3000):
        counts = frequent_counts(size)
        assert sum(counts) == size
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > counts[1] > counts[2] > max(counts[3:], default=1)
        assert min(counts) >= 1


def test_frequencies_follow_zipfs_law() -> None:
    counts = frequent_counts(100_000)
    for place in (0, 1, 2, 9):
        assert abs(counts[place] - 100_000 / 1.645 / (place + 1) ** 2) < 1
