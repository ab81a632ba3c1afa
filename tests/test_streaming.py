"""The streaming predictor: one pass is its steps, an answer rests on the declared bars, no file is trusted."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from engine.bars import Bars
from engine.errors import ModelMismatch, UsageError
from engine.features import clear_run, default_features, feature_lookback, feature_matrix
from engine.history.embedded import embedded_bars
from engine.history.find import find_bars
from engine.invariance import cuts_of, strategy_breaks
from engine.synthetic import random_bars
from live.replay import replay
from live.settings import Settings
from live.verify import verify
from models.attention import exponential
from models.bundle import load_bundle
from models.cache import cache_in
from models.network import FILE, Network, reach, to_file
from models.streaming import Stream, StreamingPredictor
from models.tensors import read_tensors, write_tensors
from strategies import make_strategy
from strategies.workbench import compare_bundle
from tests.bundles import FEATURES_USED, make_bundle
from tests.oracles.slow_streaming import slow_answer

WIDTH, HEADS, HIDDEN, BAND, LAYERS = 32, 2, 64, 64, 2
REACH = reach(LAYERS, BAND)


def dice_network(features: int, seed: int = 0, mean: float = 0.0, deviation: float = 1.0) -> Network:
    """Return a network of the shipped shape whose numbers are dice: livelier than a trained one."""
    rng = np.random.default_rng(seed)

    def dice(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) / np.sqrt(shape[-1])

    def norms(*shape: int) -> np.ndarray:
        return (
            1.0
            + 0.2 * rng.standard_normal(shape) * (np.arange(shape[-2]) % 2 == 0)[:, None]
            - (np.arange(shape[-2]) % 2)[:, None]
        )

    d, h, n = WIDTH, HIDDEN, LAYERS
    arrays = {
        "mean": np.full(features, mean),
        "deviation": np.full(features, deviation),
        "embed": dice(d, features),
        "embed_bias": dice(d),
        "norms": norms(n, 4, d),
        "attend": 2.0 * dice(n, 3 * d, d),
        "attend_bias": dice(n, 3 * d),
        "mix": dice(n, d, d),
        "mix_bias": dice(n, d),
        "widen": dice(n, h, d),
        "widen_bias": dice(n, h),
        "narrow": dice(n, d, h),
        "narrow_bias": dice(n, d),
        "norm": norms(2, d),
        "head": dice(d),
        "line": np.array([0.1, 0.8, -0.05]),
        "fall": -(2.0 ** (-8.0 * np.arange(1, HEADS + 1) / HEADS))[:, None] * np.arange(BAND),
    }
    return Network(**{name: array.astype(np.float32) for name, array in arrays.items()})


NETWORK = dice_network(5)
MATRIX = np.random.default_rng(1).standard_normal((1500, 5)).astype(np.float32)
ROWS, LAST = np.arange(REACH - 1, len(MATRIX)), np.array([REACH - 1])


@pytest.fixture(scope="module")
def predictor() -> StreamingPredictor:
    return StreamingPredictor(to_file(NETWORK), REACH, 5)


@pytest.fixture(scope="module")
def whole(predictor):
    """Logits of the whole history in one pass."""
    return predictor.outputs(MATRIX, ROWS)[0]


def test_an_answer_is_the_formulas_from_the_last_127_bars(predictor, whole):
    assert REACH == 127
    p = predictor.outputs(MATRIX, ROWS)[1]
    for row in (126, 127, 128, 400, 1499):
        logit, probability = slow_answer(NETWORK, MATRIX[row - 126 : row + 1])
        assert whole[row - 126] == pytest.approx(logit, abs=1e-5)
        assert p[row - 126] == pytest.approx(probability, abs=1e-6)
    assert np.std(whole) > 0.3


def test_the_exponential_is_exact_to_the_last_place_and_never_overflows():
    x = np.linspace(-87.0, 87.0, 2001).astype(np.float32)
    told = np.array([exponential(one) for one in x])
    np.testing.assert_allclose(told, np.exp(x.astype(np.float64)), rtol=2e-7)
    assert exponential(np.float32(1e9)) == exponential(np.float32(87.0)) < np.inf
    assert exponential(np.float32(0.0)) == 1.0


@pytest.mark.parametrize("piece", [1, 7, 63, 255, 256, 257, 1000])
def test_one_pass_is_its_steps_bit_for_bit(whole, piece):
    stream = Stream(NETWORK)
    told = np.concatenate([stream.show(MATRIX[i : i + piece]) for i in range(0, len(MATRIX), piece)])
    np.testing.assert_array_equal(told[126:, 0], whole)


def test_127_bars_are_enough_and_126_are_not(predictor, whole):
    for row in (300, 777, 1499):
        enough = Stream(NETWORK).show(MATRIX[row - 126 : row + 1])[-1, 0]
        short = Stream(NETWORK).show(MATRIX[row - 125 : row + 1])[-1, 0]
        assert enough == whole[row - 126]
        assert short != whole[row - 126]
    with pytest.raises(UsageError, match=r"rows must lie in 126..125, as an answer rests on 127 bars; was 125..125"):
        predictor.outputs(MATRIX[:126], np.array([125]))


def test_what_lies_127_bars_back_and_what_is_still_to_come_change_nothing(predictor, whole):
    for row in (500, 1100):
        moved = MATRIX.copy()
        moved[: row - 126] = 3.0
        moved[row + 1 :] = np.nan
        assert predictor.outputs(moved, np.array([row]))[0][0] == whole[row - 126]
        moved[row - 126] = -moved[row - 126]
        assert predictor.outputs(moved, np.array([row]))[0][0] != whole[row - 126]


def test_rows_are_answered_alike_alone_among_others_and_beyond_unknown_bars(predictor, whole):
    rows = np.array([126, 127, 130, 300, 301, 899, 1499])
    np.testing.assert_array_equal(predictor.outputs(MATRIX, rows)[0], whole[rows - 126])
    unknown = MATRIX.copy()
    unknown[700:703] = np.nan
    clear = np.r_[ROWS[ROWS < 700], ROWS[ROWS >= 703 + 126]]
    np.testing.assert_array_equal(predictor.outputs(unknown, clear)[0], whole[clear - 126])


def test_a_bot_goes_on_from_its_ring_and_notices_when_the_past_is_another(predictor, whole):
    live = StreamingPredictor(to_file(NETWORK), REACH, 5)
    for n in (*range(600, 640), 900, 901, 905, 640):  # in order, after an outage, and back again
        assert live.outputs(MATRIX[:n], np.array([n - 1]))[0][0] == whole[n - 127]
    other = MATRIX.copy()
    other[600] += 1.0
    told = live.outputs(other[:642], np.array([641]))[0][0]
    assert told == predictor.outputs(other[:642], ROWS[:516])[0][-1]
    assert told != whole[515]
    copy = pickle.loads(pickle.dumps(live))
    assert copy.outputs(MATRIX[:650], np.array([649]))[0][0] == whole[523]


def bitcoin(shared_data) -> Bars:
    return find_bars(str(shared_data / "crypto" / "BTCUSDT_1h.parquet"), shared_data)


def lively(bars: Bars, names) -> Network:
    """Return dice that see standard features of these bars."""
    matrix = feature_matrix(bars, names).astype(np.float32)
    known = matrix[np.isfinite(matrix).all(axis=1)]
    return dice_network(len(names))._replace(mean=known.mean(axis=0), deviation=known.std(axis=0))


def assert_every_step_is_the_pass(bars: Bars) -> int:
    """Ask at every close, one by one as a bot does, what the pass over all bars says there; return how often."""
    names = default_features(bars.timeframe_ns, bars.sessions)
    matrix, network = feature_matrix(bars, names).astype(np.float32), lively(bars, names)
    asked, live = (StreamingPredictor(to_file(network), REACH, len(names)) for _ in range(2))
    rows = np.flatnonzero(clear_run(bars) >= REACH + feature_lookback(names) + 60)
    passed = asked.probabilities(matrix, rows)
    one = np.array([live.probabilities(matrix[row - REACH + 1 : row + 1], LAST)[0] for row in rows])
    stepped = Stream(network).show(matrix)  # across every gap: 127 clear bars wash it out
    np.testing.assert_array_equal(passed, one)
    np.testing.assert_array_equal(passed, np.round(stepped[rows, 1].astype(np.float64), 6))
    assert np.std(passed) > 0.05
    return len(rows)


def test_at_every_bar_of_the_nasdaq_the_step_is_the_pass():
    assert assert_every_step_is_the_pass(embedded_bars("nasdaq-1d")) > 4500


def test_at_every_hour_of_bitcoin_the_step_is_the_pass(shared_data):
    assert assert_every_step_is_the_pass(bitcoin(shared_data)) > 60_000


BARS = random_bars(2600, seed=21)
GAPPED = random_bars(2600, seed=22, gaps=0.002)


def bundle_of(folder, bars: Bars, **keys):
    graph = to_file(lively(bars, FEATURES_USED))
    return make_bundle(folder, bars, window=REACH, graph=graph, kind="streaming", **keys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bundle_of(tmp_path_factory.mktemp("streaming"), BARS)


def test_a_bundle_opens_with_the_predictor_its_manifest_names(folder):
    bundle = load_bundle(folder)
    assert isinstance(bundle.predictor, StreamingPredictor)
    assert bundle.manifest.files[FILE] == bundle.predictor_hash
    assert bundle.manifest.window == REACH
    assert bundle.clear_bars == REACH + feature_lookback(FEATURES_USED)


@pytest.mark.parametrize("bars", [BARS, GAPPED], ids=["whole", "with gaps"])
@pytest.mark.parametrize("profile", ["sniper", "reckless"])
def test_decisions_obey_the_one_law(folder, profile, bars):
    strategy = make_strategy(profile, load_bundle(folder))
    cuts = cuts_of(len(bars), 1200, 12)
    assert strategy_breaks(strategy, bars, cuts) == []
    assert strategy_breaks(strategy, bars, cuts[:2], futures=True) == []
    assert (strategy.signals(bars).side != 0).sum() > 20


def test_nothing_is_said_until_enough_bars_have_followed_a_gap(folder):
    bundle = load_bundle(folder)
    told, run = bundle.evidence(GAPPED).p_up, clear_run(GAPPED)
    assert np.isnan(told[run < bundle.clear_bars]).all()
    assert np.isfinite(told[(run >= bundle.clear_bars) & (np.arange(len(GAPPED)) > 250)]).all()
    assert 0.1 < np.isnan(told).mean() < 0.9


def test_every_law_of_verify_holds_on_a_streaming_bundle(folder):
    checks = verify(folder, BARS[:1400])
    assert [check for check in checks if not check.passed] == []
    assert len(checks) >= 8


def replayed(folder, bars: Bars, first: int) -> tuple[int, int]:
    """Let the bot decide at each close from a row on; return decisions and trades, which must be the backtest's."""
    bundle = bundle_of(folder, bars)
    bot = Settings("reckless", str(bundle), "replay", "rank", folder / "bot.db", None, bars.open_time[first], {})
    report = replay(bot, bars)
    assert report.difference is None
    return report.decided, report.trades


def test_the_bot_decides_at_each_close_of_the_nasdaq_what_the_backtest_decided(tmp_path):
    bars = embedded_bars("nasdaq-1d")
    decided, trades = replayed(tmp_path, bars, len(bars) - 700)
    assert decided == 700
    assert trades > 5


@pytest.mark.slow
@pytest.mark.parametrize("market", ["nasdaq-1d", "BTCUSDT"])
def test_the_bot_decides_at_every_close_what_the_backtest_decided(market, tmp_path, shared_data):
    bars = embedded_bars("nasdaq-1d") if market == "nasdaq-1d" else bitcoin(shared_data)
    decided, trades = replayed(tmp_path, bars, 0)
    assert decided == len(bars)
    assert trades > 100


def test_profiles_are_compared_and_kept_predictions_are_the_computed_ones(folder, tmp_path):
    bundle, kept = load_bundle(folder), load_bundle(folder, cache_in(tmp_path))
    tables = [compare_bundle(one, BARS, zone="validation") for one in (bundle, kept, kept)]
    scores = [[row.score for row in table.rows] for table in tables]
    assert scores[0] == scores[1] == scores[2]
    assert max(score.trades for score in scores[0]) > 3


def test_a_manifest_that_promises_a_shorter_memory_is_refused(folder, tmp_path):
    path = bundle_of(tmp_path, BARS)
    page = json.loads((path / "manifest.json").read_text())
    page["window"] = REACH - 1
    (path / "manifest.json").write_text(json.dumps(page))
    with pytest.raises(
        ModelMismatch, match=r"predictor.safetensors looks back on 127 bars of 5 features, its manifest"
    ):
        load_bundle(path)


def spoiled(**arrays) -> bytes:
    return write_tensors(NETWORK._asdict() | {name: np.asarray(array, np.float32) for name, array in arrays.items()})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no safetensors file"),
        (b"\xff" * 64, "no safetensors file"),
        (to_file(NETWORK)[:-4], "must be float32 numbers of a shape"),
        (to_file(NETWORK) + b"\0\0\0\0", "holds 4 bytes that its header does not name"),
        (to_file(NETWORK).replace(b'"F32"', b'"F64"', 1), "must be float32 numbers"),
        (to_file(NETWORK).replace(b'"mean"', b'"mode"', 1), "array 'mean' is missing or unknown"),
        (spoiled(head=np.full(WIDTH, np.nan)), "'head' holds numbers that are not finite"),
        (spoiled(head=np.zeros(WIDTH + 1)), "'head' has shape"),
        (spoiled(deviation=np.zeros(5)), "deviations positive"),
        (spoiled(fall=np.zeros((3, BAND))), "must be multiples of 4"),
        (spoiled(fall=np.zeros((HEADS, 62))), "must be multiples of 4"),
        (spoiled(norms=np.zeros((LAYERS, 4))), "have shapes"),
        (spoiled(), None),
    ],
)
def test_a_file_that_is_no_network_of_ours_is_refused(content, message):
    if message is None:
        assert StreamingPredictor(content, REACH, 5).network.reach == REACH
        return
    with pytest.raises(ModelMismatch, match=message):
        StreamingPredictor(content, REACH, 5)


def test_any_safetensors_reader_finds_the_arrays_where_the_header_says(whole):
    raw = to_file(NETWORK)
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    first, end = header["attend"]["data_offsets"]
    assert (8 + size) % 8 == 0
    told = np.frombuffer(raw[8 + size :][first:end], "<f4").reshape(header["attend"]["shape"])
    np.testing.assert_array_equal(told, NETWORK.attend)
    assert list(read_tensors(raw, "toy")) == list(Network._fields)


def test_rows_out_of_order_are_refused_not_answered_wrongly(predictor):
    with pytest.raises(UsageError, match="ascending order"):
        predictor.outputs(MATRIX, np.array([300, 299]))
    with pytest.raises(UsageError, match=r"shape \(n, 5\)"):
        predictor.outputs(MATRIX[:, :4], np.array([300]))
    assert len(predictor.probabilities(MATRIX, np.empty(0, np.int64))) == 0


def test_other_bars_of_the_same_bundle_do_not_mix_with_the_ring(folder):
    bundle, other = load_bundle(folder), replace(BARS, close=BARS.close.copy())
    alone = bundle.evidence(BARS, since=len(BARS) - 1).p_up[-1]
    bundle.evidence(GAPPED, since=len(GAPPED) - 1)
    assert load_bundle(folder).evidence(other).p_up[-1] == alone
