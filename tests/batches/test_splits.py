"""Splits: nothing on two sides, everything on one, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.batches import splits
from neuroarrays.batches.split_checks import check_intervals, check_positions
from neuroarrays.errors import SchemaError


def union(split):
    return np.sort(np.concatenate(list(split.values())))


def test_a_seed_gives_these_numbers_on_any_machine():
    assert splits.by_label(list("aabbccdd"), (0.5, 0.25, 0.25), seed=2)["test"].tolist() == [6, 7]


@given(st.lists(st.integers(0, 9), min_size=20, max_size=60), st.integers(0, 5))
def test_repeats_stay_together(labels, seed):
    distinct = len(set(labels))
    if distinct < 5:
        return
    split = splits.by_label(labels, (0.6, 0.2, 0.2), seed)
    assert union(split).tolist() == list(range(len(labels)))
    sides = [set(np.asarray(labels)[rows]) for rows in split.values()]
    assert sum(map(len, sides)) == distinct


def test_tiers_are_taken_as_they_are():
    split = splits.by_tier(np.array(["train", "test", "none", "train", "validation"], object))
    assert {k: v.tolist() for k, v in split.items()} == {
        "train": [0, 3],
        "test": [1],
        "validation": [4],
    }


def test_blocks_follow_one_another():
    split = splits.by_block(100, 10, (0.7, 0.3), seed=1)
    assert union(split).tolist() == list(range(100))
    owner = np.zeros(100, int)
    owner[split["validation"]] = 1
    assert (owner.reshape(10, 10) == owner[::10, None]).all()


@given(st.lists(st.sampled_from("abc"), min_size=12, max_size=50), st.integers(2, 5))
def test_folds_are_stratified_and_test_each_once(labels, n_folds):
    folds = splits.folds(labels, n_folds, seed=3)
    assert np.sort(np.concatenate([f["test"] for f in folds])).tolist() == list(range(len(labels)))
    values = np.array(labels)
    for label in set(labels):
        per_fold = [(values[f["test"]] == label).sum() for f in folds]
        assert max(per_fold) - min(per_fold) <= 1
    for fold in folds:
        assert not set(fold["train"]) & set(fold["test"])


def test_groups_of_folds_stay_together():
    groups = np.repeat(np.arange(9), 3)
    for fold in splits.folds(groups % 3, 3, groups):
        assert not set(groups[fold["train"]]) & set(groups[fold["test"]])
    with pytest.raises(ValueError, match="2 to 9, the number of groups"):
        splits.folds(groups % 3, 10, groups)


def test_a_clock_is_cut_at_its_edges():
    time = (np.arange(1000) + 0.5) * 0.1
    split = splits.by_time(time, (0.5, 0.3, 0.2), gap=2.0)
    np.testing.assert_allclose(split["train"], [[0, 49]], atol=1e-9)
    np.testing.assert_allclose(split["validation"], [[51, 79]])
    np.testing.assert_allclose(split["test"], [[81, 100]])
    with pytest.raises(ValueError, match="'validation' is empty"):
        splits.by_time(time, (0.5, 0.3, 0.2), gap=31.0)


def test_removed_clips_leave_holes():
    time = (np.arange(105) + 0.5) * 0.1
    split = splits.by_clip(time, 1.0, 3, seed=0)
    assert split["validation"].shape == (3, 2)
    total = sum(np.diff(part).sum() for part in split.values())
    assert total == pytest.approx(10.5)
    for begin, end in split["validation"]:
        assert not (
            (split["train"][:, 0] < end - 1e-9) & (split["train"][:, 1] > begin + 1e-9)
        ).any()
    with pytest.raises(ValueError, match="expected 1 to 9, there are 10 clips"):
        splits.by_clip(time, 1.0, 10)


def test_neighbouring_clips_that_validate_are_two():
    edges = np.arange(11.0)
    split = splits.clips(edges, 2, np.array([2, 1]))
    assert split["validation"].tolist() == [[4, 6], [2, 4]]
    assert split["train"].tolist() == [[0, 2], [6, 10]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": [0, 1], "test": []}, "s/A: split 'test' is empty"),
        ({"train": [0, 1], "test": [1]}, "1 presentation both in 'train' and in 'test'"),
        ({"train": [0, 9]}, "has position 9, but there are 5"),
    ],
)
def test_splits_of_presentations_are_checked(given, message):
    with pytest.raises(SchemaError, match=message):
        check_positions(given, 5, "s/A")


def test_splits_of_a_clock_are_checked():
    with pytest.raises(SchemaError, match="s/A: splits 'train' and 'test' share 4 to 5 s"):
        check_intervals({"train": [[0, 5]], "test": [[4, 6]]}, "s/A")
    with pytest.raises(SchemaError, match="split 'test' is empty"):
        check_intervals({"train": [[0, 5]], "test": [[6, 6]]}, "s/A")
    with pytest.raises(
        ValueError, match="expected the shares of train, validation, test, two or three"
    ):
        splits.by_label([1, 2, 3], (0.5, 0.1))
    with pytest.raises(ValueError, match="'test' is empty: 0.1 of 3 labels"):
        splits.by_label([1, 2, 3])


@pytest.mark.parametrize("labels", [10, [[0, 1]], "abc"])
def test_what_is_no_list_of_labels_is_named(labels):
    for split in (splits.folds, splits.by_label):
        with pytest.raises(ValueError, match="labels: expected one for each presentation"):
            split(labels)
