"""The learned parts one by one: predictor, trees, auditor, calibration."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pytest
from onnx import helper

from engine.errors import ModelMismatch, UsageError
from models.auditor import Auditor, audit_inputs, feature_inputs
from models.calibration import ConfidenceTable, calibrate, lean_of, sigmoid
from models.predictor import BATCH, Predictor
from models.trees import parse_trees
from tests.bundles import logistic_graph, to_graph

WINDOW, WIDTH = 12, 6


def logistic() -> bytes:
    return logistic_graph(np.random.default_rng(0).standard_normal((500, WIDTH)), WINDOW, seed=1)


def boosted() -> bytes:
    """Return a graph of 20 random stumps and deeper trees over the flattened window."""
    rng = np.random.default_rng(2)
    told = {name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")}
    leaves = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(20):
        for node in range(7):
            inner = node < 3
            told["treeids"].append(tree)
            told["nodeids"].append(node)
            told["featureids"].append(int(rng.integers(WINDOW * WIDTH)) if inner else 0)
            told["values"].append(float(rng.standard_normal()) if inner else 0.0)
            told["modes"].append("BRANCH_LT" if inner else "LEAF")
            told["truenodeids"].append(2 * node + 1 if inner else 0)
            told["falsenodeids"].append(2 * node + 2 if inner else 0)
            if not inner:
                for name, value in zip(leaves, (tree, node, 0, float(rng.standard_normal() / 10)), strict=True):
                    leaves[name].append(value)
    told = {f"nodes_{name}": values for name, values in told.items()} | {f"target_{n}": v for n, v in leaves.items()}
    nodes = [
        helper.make_node("Reshape", ["window", "flat"], ["wide"]),
        helper.make_node("TreeEnsembleRegressor", ["wide"], ["column"], domain="ai.onnx.ml", n_targets=1, **told),
        helper.make_node("Reshape", ["column", "row"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    shapes = {"flat": np.array([BATCH, -1]), "row": np.array([BATCH])}
    return to_graph(nodes, shapes, WINDOW, WIDTH)


def transformer() -> bytes:
    torch = pytest.importorskip("torch", reason="torch comes with the research extra")

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Linear(WIDTH, 32)
            layer = torch.nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
            self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = torch.nn.Linear(32, 1)

        def forward(self, window):
            logit = self.head(self.encoder(self.embed(window))[:, -1])[:, 0]
            return logit, torch.sigmoid(logit)

    torch.manual_seed(3)
    sink = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["window"], "output_names": ["logit", "p"]}
        torch.onnx.export(Small().eval(), (torch.zeros(BATCH, WINDOW, WIDTH),), sink, dynamo=False, **names)
    return sink.getvalue()


@pytest.fixture(scope="module", params=[logistic, boosted, transformer], ids=lambda maker: maker.__name__)
def predictor(request) -> Predictor:
    return Predictor(request.param(), WINDOW, WIDTH)


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    return np.random.default_rng(4).standard_normal((900, WIDTH)).astype(np.float32)


ROWS = np.arange(WINDOW - 1, 900)


def test_a_prediction_does_not_depend_on_its_place_or_neighbours(predictor, matrix):
    whole = predictor.outputs(matrix, ROWS)
    mixed = np.random.default_rng(5).permutation(ROWS)
    for straight, shuffled in zip(whole, predictor.outputs(matrix, mixed), strict=True):
        np.testing.assert_array_equal(shuffled, straight[mixed - ROWS[0]])
    assert len(np.unique(whole[0])) > 400  # the model is lively enough to prove something


@pytest.mark.parametrize("asked", [1, 2, 31, 32, 33, 257])
def test_a_prediction_does_not_depend_on_how_many_are_asked(predictor, matrix, asked):
    whole = predictor.outputs(matrix, ROWS)[0]
    np.testing.assert_array_equal(predictor.outputs(matrix, ROWS[100 : 100 + asked])[0], whole[100 : 100 + asked])


def test_a_prediction_sees_its_window_and_nothing_else(predictor, matrix):
    whole = predictor.outputs(matrix, ROWS[300:301])[1]
    row = ROWS[300]
    cut = matrix[row - WINDOW + 1 : row + 1]
    np.testing.assert_array_equal(predictor.outputs(cut, np.array([WINDOW - 1]))[1], whole)


def test_a_missing_number_stays_in_its_own_row(predictor, matrix):
    holed = matrix.copy()
    holed[400] = np.nan
    told, clean = predictor.outputs(holed, ROWS)[0], predictor.outputs(matrix, ROWS)[0]
    sees = (ROWS >= 400) & (ROWS < 400 + WINDOW)
    np.testing.assert_array_equal(told[~sees], clean[~sees])
    assert not np.array_equal(told[sees], clean[sees])


def test_probabilities_are_rounded_at_the_door(predictor, matrix):
    p = predictor.probabilities(matrix, ROWS)
    assert p.dtype == np.float64
    np.testing.assert_array_equal(p, np.round(p, 6))
    np.testing.assert_allclose(p, sigmoid(predictor.outputs(matrix, ROWS)[0]), atol=1e-6)


def test_nothing_asked_is_nothing_answered(predictor, matrix):
    assert predictor.probabilities(matrix, ROWS[:0]).shape == (0,)


def test_a_window_before_the_first_bar_is_refused(matrix):
    with pytest.raises(UsageError, match=r"rows must lie in 11\.\.899, as a window has 12 bars; was 10\.\.10"):
        Predictor(logistic(), WINDOW, WIDTH).probabilities(matrix, np.array([10]))


@pytest.mark.parametrize(
    ("graph", "window", "message"),
    [(b"junk", WINDOW, "is no graph this ONNX Runtime can run"), (None, WINDOW + 1, "must take one float input")],
)
def test_a_graph_that_does_not_fit_is_refused(matrix, graph, window, message):
    with pytest.raises(ModelMismatch, match=message):
        Predictor(graph or logistic(), window, WIDTH).probabilities(matrix, ROWS[20:])


def boost(rows, won, names=None, trees=30, **told):
    xgboost = pytest.importorskip("xgboost")
    settings = {"objective": "binary:logistic", "nthread": 1, "seed": 0, "max_depth": 6, "eta": 0.3} | told
    return xgboost.train(settings, xgboost.DMatrix(rows, won, feature_names=names), trees)


def coarse_rows(n: int, seed: int) -> np.ndarray:
    """Return rows on a coarse grid, so that many values equal a threshold exactly, a tenth of them missing."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 5)).round(1).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows


@pytest.mark.parametrize(
    "told", [{}, {"base_score": 0.2}, {"max_depth": 1}, {"grow_policy": "lossguide", "max_leaves": 9}, {"gamma": 5.0}]
)
def test_trees_say_what_xgboost_says(told):
    import xgboost

    rows = coarse_rows(2000, 6)
    won = np.nan_to_num(rows[:, 0]) + np.random.default_rng(6).standard_normal(2000) > 0.4
    booster = boost(rows, won, **told)
    trees = parse_trees(bytes(booster.save_raw("json")), "auditor.json")
    fresh = coarse_rows(10_000, 7)
    np.testing.assert_allclose(trees.probability(fresh), booster.predict(xgboost.DMatrix(fresh)), atol=1e-6)
    one_by_one = [trees.probability(fresh[i : i + 1])[0] for i in range(0, 10_000, 501)]
    np.testing.assert_array_equal(one_by_one, trees.probability(fresh)[::501])


def test_no_trees_say_the_base_rate():
    rows = coarse_rows(100, 8)
    raw = bytes(boost(rows, rows[:, 0] > 0, trees=0, base_score=0.3).save_raw("json"))
    np.testing.assert_allclose(parse_trees(raw, "x").probability(rows), 0.3, atol=1e-7)


def spoil_cycle(tree):
    tree["left_children"][0] = 0


def spoil_range(tree):
    tree["right_children"][0] = 10_000


def spoil_feature(tree):
    tree["split_indices"][0] = 99


def spoil_category(tree):
    tree["split_type"][0] = 1


def spoil_half(tree):
    tree["right_children"][0] = -1


@pytest.mark.parametrize("spoil", [spoil_cycle, spoil_range, spoil_feature, spoil_category, spoil_half])
def test_trees_that_would_never_end_or_read_elsewhere_are_refused(spoil):
    rows = coarse_rows(200, 9)
    page = json.loads(bytes(boost(rows, rows[:, 0] > 0, trees=2).save_raw("json")))
    spoil(page["learner"]["gradient_booster"]["model"]["trees"][1])
    with pytest.raises(ModelMismatch):
        parse_trees(json.dumps(page).encode(), "auditor.json")


@pytest.mark.parametrize("told", [{"booster": "dart"}, {"objective": "reg:squarederror"}])
def test_other_kinds_of_models_are_refused(told):
    rows = coarse_rows(200, 9)
    with pytest.raises(ModelMismatch, match="retrain with gbtree, binary:logistic"):
        parse_trees(bytes(boost(rows, rows[:, 0] > 0, trees=2, **told).save_raw("json")), "auditor.json")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"version": [3]}', b'{"a": NaN}', b"\xff\x00", b"[" * 100_000])
def test_json_that_is_no_model_is_refused(raw):
    with pytest.raises(ModelMismatch, match=r"auditor\.json"):
        parse_trees(raw, "auditor.json")


def test_an_auditor_trained_on_other_inputs_is_refused():
    rows = coarse_rows(200, 10)
    raw = bytes(boost(rows, rows[:, 0] > 0, list("abcde"), 2).save_raw("json"))
    with pytest.raises(ModelMismatch, match=r"was trained on inputs \['a', 'b', 'c', 'd', 'e'\]"):
        Auditor(raw, list("abcdf"))


def test_contributions_add_up_to_the_log_odds():
    rows, names = coarse_rows(200, 11), list("abcde")
    auditor = Auditor(bytes(boost(rows, rows[:, 0] > 0, names).save_raw("json")), names)
    told = auditor.contributions(rows[:20])
    assert told.shape == (20, 6)
    np.testing.assert_allclose(sigmoid(told.sum(axis=1)), auditor.probability(rows[:20]), atol=1e-5)


def test_audit_inputs_lie_in_the_order_of_their_names():
    names = ("belief_1", "p_up", "vol_24", "lean")
    opinions = {"p_up": np.array([0.6]), "rank": np.array([0.9]), "lean": np.array([-1])}
    rows = audit_inputs(names, opinions, np.array([[0.3, 0.7]]), np.array([[5.0]]))
    np.testing.assert_allclose(rows, [[0.7, 0.6, 5.0, -1.0]])
    assert feature_inputs(names) == ("vol_24",)


def test_an_auditor_cannot_ask_for_a_regime_that_is_not_there():
    opinions = {name: np.zeros(1) for name in ("p_up", "rank", "lean")}
    with pytest.raises(ModelMismatch, match="'belief_2', the regime model has 2 states"):
        audit_inputs(("belief_2",), opinions, np.zeros((1, 2)), np.zeros((1, 0)))


def test_a_rank_is_the_share_of_validation_predictions_below():
    p = np.sort(np.random.default_rng(12).beta(20, 20, 5001))
    table = ConfidenceTable.from_predictions(p)
    np.testing.assert_allclose(table.rank(p[::100]), np.arange(0, 5001, 100) / 5000, atol=1e-3)
    assert (p[table.rank(p) >= 0.95] >= np.quantile(p, 0.95)).all()
    assert 240 <= (table.rank(p) >= 0.95).sum() <= 252


def test_ranks_rise_with_the_probability_and_leave_nothing_out():
    table = ConfidenceTable.from_predictions(np.random.default_rng(13).random(50).round(1))
    ranks = table.rank(np.linspace(-1, 2, 2001))
    assert (np.diff(ranks) >= 0).all()
    assert (ranks[0], ranks[-1]) == (0.0, 1.0)
    assert np.isnan(table.rank([np.nan])[0])


def test_a_model_that_always_says_the_same_is_never_confident():
    table = ConfidenceTable.from_predictions(np.full(500, 0.61))
    assert table.rank([0.61])[0] == 0.0
    low = ConfidenceTable.from_predictions(np.full(500, 0.3))
    assert low.rank_of_lean([0.3], np.array([-1], np.int8))[0] == 0.0


def test_a_short_ranks_as_its_mirror_image():
    p = np.random.default_rng(14).random(4000)
    table, mirror = ConfidenceTable.from_predictions(p), ConfidenceTable.from_predictions(1.0 - p)
    asked = np.linspace(0.01, 0.99, 99)
    short = table.rank_of_lean(asked, np.full(99, -1, np.int8))
    np.testing.assert_allclose(short, mirror.rank(1.0 - asked), atol=1e-12)
    np.testing.assert_array_equal(table.rank_of_lean(asked, np.ones(99, np.int8)), table.rank(asked))


def test_the_lean_is_the_more_probable_side_and_long_only_where_shorts_are_not_sold():
    p = np.array([0.2, 0.5, 0.8, np.nan])
    assert lean_of(p, ("long",)).tolist() == [1, 1, 1, 1]
    assert lean_of(p, ("long", "short")).tolist() == [-1, 1, 1, 1]


def test_a_temperature_keeps_the_order_and_one_half():
    logit = np.array([-2.0, 0.0, 1.0])
    cool = calibrate(logit, a=1 / 2.5)
    assert cool[1] == 0.5
    assert (np.diff(cool) > 0).all()
    np.testing.assert_allclose(np.log(cool / (1 - cool)), logit / 2.5)
