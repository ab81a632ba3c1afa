"""Kept predictions change nothing but the time: same bits, whoever shares, damages or deletes them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from engine.signals import Evidence
from engine.synthetic import random_bars
from models.bundle import load_bundle
from models.cache import BLOCK, FEWEST, PredictionCache, cache_in, named_predictors
from tests.bundles import make_bundle

BARS = random_bars(2600, seed=21)
WINDOW = 4
MATRIX = np.random.default_rng(1).standard_normal((3 * BLOCK, 3)).astype(np.float32)
NASDAQ = load_bundle("nasdaq-1d").predictor_hash
ROWS = np.arange(WINDOW - 1, len(MATRIX))


def answer(matrix, rows):
    """Stand for a predictor: each window's own sum."""
    return np.array([float(matrix[row - WINDOW + 1 : row + 1].sum()) for row in rows])


class Counting:
    """The same, and how many rows it was asked about."""

    def __init__(self):
        self.asked = 0

    def __call__(self, matrix, rows):
        self.asked += len(rows)
        return answer(matrix, rows)


def recalled(cache, matrix=MATRIX, rows=ROWS, predictor="graph"):
    ask = Counting()
    found = cache.probabilities(predictor, WINDOW, (matrix, rows), ask)
    np.testing.assert_array_equal(found, answer(matrix, rows))
    return ask.asked


@pytest.fixture
def cache(tmp_path):
    return PredictionCache(tmp_path / "cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles"), BARS)


def test_evidence_has_the_same_bits_without_a_cache_with_an_empty_one_and_with_a_full_one(folder, tmp_path):
    alone = load_bundle(folder).evidence(BARS)
    for full in (False, True):
        bundle = load_bundle(folder, cache_in(tmp_path))
        found = bundle.evidence(BARS)
        for part in fields(Evidence):
            np.testing.assert_array_equal(getattr(found, part.name), getattr(alone, part.name), err_msg=part.name)
        assert (bundle.predictor._session is None) == full  # what is kept is not asked again
    kept = cache_in(tmp_path).kept()
    assert [(k.predictor, k.bars) for k in kept] == [(bundle.predictor_hash, int(np.isfinite(alone.p_up).sum()))]


def test_bars_that_follow_later_leave_the_kept_ones_in_use(cache):
    assert recalled(cache, MATRIX[: 2 * BLOCK + 100], ROWS[ROWS < 2 * BLOCK + 100]) == 2 * BLOCK + 100 - 3
    assert recalled(cache) == BLOCK  # the block that had begun, whole
    assert recalled(cache) == 0


def test_another_window_graph_or_row_is_another_question(cache):
    recalled(cache)
    assert recalled(cache, predictor="other graph") == len(ROWS)
    changed = MATRIX.copy()
    changed[BLOCK + 5, 2] += 1.0
    assert recalled(cache, changed) == BLOCK
    assert recalled(cache, rows=np.delete(ROWS, 2 * BLOCK)) == BLOCK - 1


def test_too_few_rows_to_be_worth_it_are_asked_and_not_kept(cache):
    for _ in range(2):
        assert recalled(cache, rows=ROWS[: FEWEST - 1]) == FEWEST - 1
    assert cache.kept() == []


def spoil_with(content):
    return lambda path: path.write_bytes(content(path.read_bytes()))


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_with(lambda old: b""),
        spoil_with(lambda old: old[:-8]),
        spoil_with(lambda old: old + bytes(8)),
        spoil_with(lambda old: old[:100] + bytes([old[100] ^ 1]) + old[101:]),
        spoil_with(lambda old: bytes([old[0] ^ 1]) + old[1:]),
        Path.unlink,
        replace_by_a_folder,
    ],
    ids=["empty", "cut", "longer", "one bit", "digest", "gone", "a folder"],
)
def test_a_damaged_entry_is_worked_out_again(cache, spoil):
    recalled(cache)
    entries = sorted(cache.root.glob("*/*"))
    assert len(entries) == 3
    spoil(entries[1])
    assert recalled(cache) in (BLOCK, BLOCK - 3)
    assert recalled(cache) == 0 or spoil is replace_by_a_folder


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "cache").write_text("in the way")
    cache = PredictionCache(tmp_path / "cache")
    assert [recalled(cache), recalled(cache)] == [len(ROWS), len(ROWS)]


def test_what_was_unused_for_longest_goes_first_when_there_is_too_much(cache):
    recalled(cache, predictor="old")
    recalled(cache, predictor="new")
    size = cache.kept()[0].bytes
    assert recalled(cache, predictor="old") == 0  # used again
    small = PredictionCache(cache.root, 2 * size)
    assert recalled(small, predictor="newest") == len(ROWS)
    assert sum(k.bytes for k in small.kept()) <= 2 * size
    assert [recalled(cache, predictor=name) for name in ("old", "newest", "new")] == [0, 0, len(ROWS)]


def test_clearing_deletes_everything_and_says_how_much(cache):
    recalled(cache)
    size = cache.kept()[0].bytes
    assert (cache.clear(), cache.kept(), recalled(cache)) == (size, [], len(ROWS))


SHARING = """
import sys
from pathlib import Path
from models.cache import PredictionCache
from tests.test_prediction_cache import MATRIX, ROWS, recalled
cache = PredictionCache(Path(sys.argv[1]), 60_000)  # room for one and a quarter of what two models say
for turn in range(12):
    recalled(cache, predictor=f"graph {turn % 2}")
    if turn == 6:
        cache.clear()
"""


def test_two_processes_at_once_never_disturb_each_other(tmp_path):
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", SHARING, str(tmp_path)]
    both = [subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, wrong = process.communicate(timeout=120)
        assert process.returncode == 0, wrong
    assert not list(tmp_path.glob("*/.part-*"))


def test_the_verb_lists_what_is_kept_and_deletes_it(cache):
    from typer.testing import CliRunner

    from tradsys import app

    def said(*options):
        shown = CliRunner().invoke(app, ["cache", "--data", str(cache.root.parent), *options])
        assert shown.exit_code == 0
        return shown.stdout

    assert "no predictions are kept yet" in said()
    recalled(cache, predictor=NASDAQ)
    assert json.loads(said("--json"))["kept"][0]["bars"] == len(ROWS)
    assert "nasdaq-1d" in said()
    assert said("--clear").startswith("deleted 0.0 MB")
    assert cache.kept() == []


def test_every_bundle_that_shares_a_graph_is_named_and_ones_own_too(cache, folder):
    files = {name: load_bundle(name).manifest.files for name in ("btcusdt-1h", "btcusdt-1h-transformer")}
    shared = files["btcusdt-1h"]["predictor.onnx"]
    assert shared == files["btcusdt-1h-transformer"]["baseline.onnx"]
    assert named_predictors(cache)[shared] == "btcusdt-1h, control of btcusdt-1h-transformer"
    own = load_bundle(folder, cache)
    assert own.predictor_hash not in named_predictors(cache)
    for _ in range(2):
        own.evidence(BARS)
        own.baseline_rank(BARS)
    assert named_predictors(cache)[own.predictor_hash] == own.manifest.name
    assert [label for _, labels in cache.names() for label in labels].count(own.manifest.name) == 1
    cache.clear()
    assert list(cache.root.iterdir()) == []
