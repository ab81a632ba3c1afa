"""Nobody learns from what it is judged on: splits, embargoes, uniqueness."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from research.splits import (
    combinatorial_paths,
    combinatorial_splits,
    inner_split,
    purged,
    purged_folds,
    tile_edges,
    walk_forward_folds,
)
from research.weights import concurrency, sample_weights, sequential_bootstrap, sequential_chances, uniqueness

AFML = np.array([0, 2, 4]), np.array([2, 3, 5])


def random_labels(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels that begin at random bars and last 0 to 12 bars."""
    rng = np.random.default_rng(seed)
    start = np.sort(rng.choice(3 * n, n, replace=False))
    return start, start + rng.integers(0, 13, n)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 80), st.integers(0, 20), st.integers(0, 999))
def test_no_training_label_shares_a_bar_with_a_held_out_one(n, embargo, seed):
    start, end = random_labels(n, seed)
    for train, tests in combinatorial_splits(start, end, 5, 2, embargo):
        for i in train:
            for j in np.concatenate(tests):
                assert end[i] < start[j] or start[i] > end[j], (i, j)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 80), st.integers(0, 20), st.integers(0, 999))
def test_nothing_is_learned_within_the_embargo_after_a_held_out_run(n, embargo, seed):
    start, end = random_labels(n, seed)
    run = slice(n // 3, n // 2)
    keep = purged(start, end, [run], embargo)
    after = (start > end[run].max()) & (start <= end[run].max() + embargo)
    assert not keep[after].any()
    assert keep[start > end[run].max() + embargo].all()  # and no more than that is thrown away
    assert keep[end < start[run].min()].all()


@pytest.mark.parametrize(("hold", "embargo"), [(0, 0), (5, 0), (5, 7), (1, 3)])
def test_combinatorial_splits_equal_skfolio_on_fixed_horizons(hold, embargo):
    from skfolio.model_selection import CombinatorialPurgedCV

    start = np.arange(211)
    ours = combinatorial_splits(start, start + hold, 10, 2, embargo)
    peer = CombinatorialPurgedCV(n_folds=10, n_test_folds=2, purged_size=hold, embargo_size=embargo)
    theirs = list(peer.split(np.zeros((211, 2))))
    assert len(ours) == len(theirs) == 45
    for (train, tests), (their_train, their_tests) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(np.concatenate(tests), np.concatenate(their_tests))


def test_the_walk_forward_equals_skfolio_on_fixed_horizons():
    from skfolio.model_selection import WalkForward

    start, hold = np.arange(400), 7
    folds = walk_forward_folds(start, start + hold, [200, 250, 300, 350, 400], inner=0.2, embargo=0)
    peer = WalkForward(test_size=50, train_size=200 - hold, purged_size=hold, expand_train=True)
    for fold, (train, test) in zip(folds, peer.split(np.zeros((400, 2))), strict=True):
        assert fold.fence == train[-1] + hold - 0  # the last label of the peer's training rows ends here
        np.testing.assert_array_equal(np.arange(400)[fold.test], test)
        assert fold.inner[-1] == train[-1]


@pytest.mark.parametrize("embargo", [0, 11])
def test_time_runs_from_training_over_inner_validation_to_the_fold(embargo):
    start, end = random_labels(500, 3)
    label_end = np.full(1600, -1)
    label_end[start] = end
    edges = tile_edges(700, 1500, 4)
    folds = walk_forward_folds(start, label_end, edges, 0.15, embargo)
    assert [fold.test.start for fold in folds] == edges[:-1]
    for fold in folds:
        assert label_end[fold.train].max() + embargo < fold.inner.min()
        assert label_end[fold.inner].max() <= fold.fence
        assert fold.fence + embargo < fold.test.start
    assert all(set(a.train) <= set(b.train) for a, b in pairwise(folds))  # anchored: the past only grows


def test_too_few_rows_to_learn_from_are_refused():
    with pytest.raises(DataError, match=r"3 labelled bars are too few to train on; bring more history"):
        inner_split(np.arange(3), np.arange(3) + 50, 0.3, 10)


def test_sequential_bootstrap_has_the_chances_of_the_book():
    np.testing.assert_allclose(sequential_chances(*AFML, np.array([1])), [5 / 14, 3 / 14, 6 / 14])
    np.testing.assert_allclose(sequential_chances(*AFML, np.array([1, 2])), [5 / 11, 3 / 11, 3 / 11])


def test_labels_of_h_bars_at_every_bar_are_worth_one_hth():
    start = np.arange(300)
    unique = uniqueness(start, start + 23)
    np.testing.assert_allclose(unique[24:-24], 1 / 24)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 999))
def test_uniqueness_is_the_mean_share_of_each_bar(n, seed):
    start, end = random_labels(n, seed)
    alive = [sum(a <= bar <= b for a, b in zip(start, end, strict=True)) for bar in range(end.max() + 1)]
    slow = [np.mean([1 / alive[bar] for bar in range(a, b + 1)]) for a, b in zip(start, end, strict=True)]
    np.testing.assert_allclose(uniqueness(start, end), slow)
    assert concurrency(start, end).sum() == (end - start + 1).sum()
    np.testing.assert_allclose(sample_weights(start, end).mean(), 1.0)


def test_shuffled_folds_see_the_future_and_purged_ones_do_not():
    """METHODS 0.7: on a random walk with overlapping labels shuffled k-fold finds an edge that is not there."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    n, hold = 1200, 30
    walk = np.random.default_rng(5).standard_normal(n + 100).cumsum()
    x = np.column_stack([walk[60 : 60 + n] - walk[60 - lag : 60 - lag + n] for lag in (1, 5, 10, 20, 40, 60)])
    x = np.column_stack([x, walk[60 : 60 + n]])
    y = (walk[60 + hold : 60 + hold + n] > walk[60 : 60 + n]).astype(float)
    start = np.arange(n)
    splits = combinatorial_splits(start, start + hold, 6, 1, embargo=60)
    mixed = np.random.default_rng(0).permutation(n)
    shuffled = [(np.setdiff1d(start, part), [part]) for part in np.array_split(mixed, 6)]

    def area(parts):
        told = np.empty(n)
        for train, tests in parts:
            forest = RandomForestClassifier(30, min_samples_leaf=5, random_state=0, n_jobs=1).fit(x[train], y[train])
            told[tests[0]] = forest.predict_proba(x[tests[0]])[:, 1]
        return roc_auc_score(y, told)

    assert area(shuffled) > 0.8
    assert area(splits) < 0.6


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 80), st.integers(2, 6), st.integers(0, 20), st.integers(0, 999))
def test_every_label_is_held_out_once_and_never_shares_a_bar_with_what_trains(n, folds, embargo, seed):
    start, end = random_labels(n, seed)
    splits = purged_folds(start, end, folds, embargo)
    assert np.array_equal(np.concatenate([held for _, held in splits]), np.arange(n))
    for train, held in splits:
        for i in train:
            assert ((end[i] < start[held]) | (start[i] > end[held])).all()
            assert not start[held].min() <= start[i] <= end[held].max() + embargo


def test_folds_of_labels_without_length_are_plain_k_fold():
    from sklearn.model_selection import KFold

    start = np.arange(103)
    for (train, held), (their_train, their_held) in zip(
        purged_folds(start, start, 4, 0), KFold(4).split(np.zeros(104)[:103]), strict=True
    ):
        assert abs(len(held) - len(their_held)) <= 1  # they round the borders otherwise
        assert len(train) + len(held) == len(their_train) + len(their_held) == 103


@pytest.mark.parametrize(("groups", "held_out"), [(10, 2), (6, 3), (5, 4)])
def test_paths_equal_skfolio_and_foresee_every_group_once(groups, held_out):
    from math import comb

    from skfolio.model_selection import CombinatorialPurgedCV

    peer = CombinatorialPurgedCV(n_folds=groups, n_test_folds=held_out)
    ours = combinatorial_paths(groups, held_out)
    assert ours.shape == (peer.n_test_paths, groups) == (comb(groups - 1, held_out - 1), groups)
    theirs = peer.get_path_ids()  # of every split: the paths its held-out groups belong to
    chosen = np.array(list(combinations(range(groups), held_out)))
    for path, splits in enumerate(ours):
        for group, split in enumerate(splits):
            place = int(np.flatnonzero(chosen[split] == group)[0])
            assert theirs[split][place] == path


def test_labels_drawn_in_sequence_share_fewer_bars_than_labels_drawn_blindly():
    rng = np.random.default_rng(1)
    start, end = random_labels(120, 3)
    apart = [uniqueness(start[d], end[d]).mean() for d in (sequential_bootstrap(start, end, 60, s) for s in range(8))]
    blind = [uniqueness(start[d], end[d]).mean() for d in (rng.integers(0, 120, 60) for _ in range(8))]
    assert np.mean(apart) > np.mean(blind) + 0.05


def test_a_sequential_bootstrap_draws_with_the_books_chances():
    first, last = AFML
    drawn = np.array([sequential_bootstrap(first, last, 2, seed) for seed in range(4000)])
    second = drawn[drawn[:, 0] == 1, 1]
    share = np.bincount(second, minlength=3) / len(second)
    np.testing.assert_allclose(share, np.array([5, 3, 6]) / 14, atol=0.05)
