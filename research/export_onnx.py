"""Every candidate through one door: raw windows in, logit and calibrated probability out, in ONNX."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.errors import ModelMismatch
from models.network import open_network
from models.predictor import BATCH, open_predictor
from research.calibrate import Line
from research.candidates import Model
from research.events import Examples
from research.fit_logistic import LIMIT, LinearModel
from research.fit_transformer import Neural
from research.fit_trees import TreeModel
from research.weights import Rows

OPSET, TREE_OPSET, IR = 20, 3, 10
PARITY = 1e-5  # greatest difference of a logit that float32 explains


def to_served(model: Model, line: Line, window: int, features: int) -> bytes:
    """Return the file that serves a fitted model: a graph, or the arrays of the streaming network."""
    if model.kind == "streaming":
        from research.export_streaming import to_streaming
        from research.fit_streaming import StreamingModel

        assert isinstance(model, StreamingModel)
        return to_streaming(model, line)
    return to_onnx(model, line, window, features)


def to_onnx(model: Model, line: Line, window: int, features: int) -> bytes:
    """Return the served graph of a fitted model: scaler and calibration inside, one fixed batch.

    Parameters
    ----------
    model : Model
        Fitted.
    line : Line
        Its calibration.
    window, features : int
        Shape of a window.
    """
    if isinstance(model, Neural):
        proto = _neural_graph(model, line, window, features)
    elif model.kind == "ensemble":
        from research.ensemble import EnsembleModel
        from research.export_ensemble import ensemble_graph

        assert isinstance(model, EnsembleModel)
        proto = ensemble_graph(model, line, window, features)
    else:
        assert isinstance(model, LinearModel | TreeModel)
        made = _linear_nodes(model, window) if isinstance(model, LinearModel) else _tree_nodes(model, window, features)
        proto = _close(*made, line, (BATCH, window, features))
    onnx.checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)


def check_parity(graph: bytes, model: Model, examples: Examples, rows: Rows) -> float:
    """Return the greatest difference between the served logit and the trained one, on real windows.

    Raises
    ------
    ModelMismatch
        If it is more than float32 explains: such a bundle is not shipped.
    """
    window = open_network(graph, model.kind).reach if model.kind == "streaming" else examples.window
    predictor = open_predictor(model.kind, graph, window, examples.matrix.shape[1])
    served = predictor.outputs(examples.matrix, rows)[0].astype(np.float64)
    worst = float(np.abs(served - model.logits(examples, rows)).max())
    if not worst < PARITY:
        raise ModelMismatch(
            f"the exported {model.kind} says a logit {worst:.1e} from the trained one on {len(rows)} windows; "
            f"below {PARITY:.0e} is allowed, so nothing was written"
        )
    return worst


def _linear_nodes(model: LinearModel, window: int) -> tuple[list[Any], dict[str, Any]]:
    constants = {
        "last": np.array(window - 1, np.int64),
        "mean": model.mean.astype(np.float32),
        "deviation": model.deviation.astype(np.float32),
        "lowest": np.array(-LIMIT, np.float32),
        "highest": np.array(LIMIT, np.float32),
        "slope": model.slope.astype(np.float32),
        "intercept": np.array(model.intercept, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["window", "last"], ["bar"], axis=1),
        helper.make_node("Sub", ["bar", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "lowest", "highest"], ["standard"]),
        helper.make_node("MatMul", ["standard", "slope"], ["sum"]),
        helper.make_node("Add", ["sum", "intercept"], ["logit"]),
    ]
    return nodes, constants


def _tree_nodes(model: TreeModel, window: int, features: int) -> tuple[list[Any], dict[str, Any]]:
    constants = {
        "bars": np.array([window - 1 - lag for lag in model.lags], np.int64),
        "flat": np.array([BATCH, features * len(model.lags)], np.int64),
        "row": np.array([BATCH], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["window", "bars"], ["seen"], axis=1),
        helper.make_node("Reshape", ["seen", "flat"], ["columns"]),
        helper.make_node(
            "TreeEnsembleRegressor", ["columns"], ["margin"], domain="ai.onnx.ml", **_tree_table(model.booster)
        ),
        helper.make_node("Reshape", ["margin", "row"], ["logit"]),
    ]
    return nodes, constants


def _tree_table(booster: Any) -> dict[str, Any]:
    """Return XGBoost's trees as the attributes of one ONNX node: left where x < threshold."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    base = float(learner["learner_model_param"]["base_score"].strip("[]"))
    table: dict[str, list[Any]] = {
        f"nodes_{name}": [] for name in ("treeids", "nodeids", "featureids", "modes", "values")
    }
    table |= {f"nodes_{name}": [] for name in ("truenodeids", "falsenodeids", "missing_value_tracks_true")}
    table |= {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        count = len(tree["left_children"])
        leaf = [left < 0 for left in tree["left_children"]]
        leaves = [node for node in range(count) if leaf[node]]
        table["nodes_treeids"] += [number] * count
        table["nodes_nodeids"] += range(count)
        table["nodes_featureids"] += [0 if leaf[i] else tree["split_indices"][i] for i in range(count)]
        table["nodes_modes"] += ["LEAF" if leaf[i] else "BRANCH_LT" for i in range(count)]
        table["nodes_values"] += [0.0 if leaf[i] else float(tree["split_conditions"][i]) for i in range(count)]
        table["nodes_truenodeids"] += [max(left, 0) for left in tree["left_children"]]
        table["nodes_falsenodeids"] += [max(right, 0) for right in tree["right_children"]]
        table["nodes_missing_value_tracks_true"] += [int(side) for side in tree["default_left"]]
        table["target_treeids"] += [number] * len(leaves)
        table["target_nodeids"] += leaves
        table["target_ids"] += [0] * len(leaves)
        table["target_weights"] += [float(tree["split_conditions"][node]) for node in leaves]
    return table | {"n_targets": 1, "base_values": [float(np.log(base / (1.0 - base)))]}


def _close(nodes: list[Any], constants: dict[str, Any], line: Line, shape: tuple[int, ...]) -> Any:
    """Return the model of some nodes that end in ``logit``, with the calibration after them."""
    constants |= {"a": np.array(line.a, np.float32), "b": np.array(line.b, np.float32)}
    nodes = [
        *nodes,
        helper.make_node("Mul", ["logit", "a"], ["sloped"]),
        helper.make_node("Add", ["sloped", "b"], ["calibrated"]),
        helper.make_node("Sigmoid", ["calibrated"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "predictor",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape[:1]) for name in ("logit", "p")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", TREE_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="tradsys")


def _neural_graph(model: Neural, line: Line, window: int, features: int) -> Any:
    import torch

    class Served(torch.nn.Module):
        """The network with its calibration."""

        def __init__(self) -> None:
            super().__init__()
            self.network = model.network

        def forward(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logit = model.log_odds(window)
            return logit, torch.sigmoid(line.a * logit + line.b)

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses a package of image operators
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter's own, about its own parts
        program = torch.onnx.export(
            Served().eval(),
            (torch.zeros(BATCH, window, features),),
            input_names=["window"],
            output_names=["logit", "p"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return _without_traces(program.model_proto)


def _without_traces(proto: Any) -> Any:
    """Remove what the exporter wrote about the machine it ran on: paths, module names, stack traces."""
    proto.producer_name, proto.producer_version, proto.doc_string, proto.ir_version = "tradsys", "", "", IR
    graphs = [proto.graph, *proto.functions]
    del proto.metadata_props[:]
    for graph in graphs:
        del graph.metadata_props[:]
        graph.doc_string = ""
        del graph.value_info[:]
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""
    return proto
