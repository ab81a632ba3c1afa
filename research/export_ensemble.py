"""An ensemble as one ONNX graph: its members' graphs side by side over one window, then the weighted sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from models.predictor import BATCH, INPUT
from research.calibrate import Line
from research.ensemble import EnsembleModel
from research.export_onnx import IR, OPSET, TREE_OPSET, to_onnx

PLAIN = Line("platt", 1.0, 0.0, False)


def ensemble_graph(model: EnsembleModel, line: Line, window: int, features: int) -> Any:
    """Return the served graph of an ensemble; its members keep their own scalers.

    Parameters
    ----------
    model : EnsembleModel
        Fitted.
    line : Line
        Its calibration.
    window, features : int
        Shape of a window.
    """
    nodes, values, functions = [], [], []
    for number, member in enumerate(model.members):
        prefix = f"m{number}_"
        part = compose.add_prefix(onnx.load_model_from_string(to_onnx(member, PLAIN, window, features)), prefix)
        for node in part.graph.node:
            for i, name in enumerate(node.input):
                if name == prefix + INPUT:
                    node.input[i] = INPUT
        nodes += part.graph.node
        values += part.graph.initializer
        functions += part.functions
        values.append(_constant(f"slope_{number}", model.slopes[number]))
        nodes.append(helper.make_node("Mul", [f"{prefix}logit", f"slope_{number}"], [f"told_{number}"]))
    told = [f"told_{number}" for number in range(len(model.members))]
    values += [_constant(name, value) for name, value in (("offset", model.offset), ("a", line.a), ("b", line.b))]
    nodes += [
        helper.make_node("Sum", [*told, "offset"], ["logit"]),
        helper.make_node("Mul", ["logit", "a"], ["sloped"]),
        helper.make_node("Add", ["sloped", "b"], ["calibrated"]),
        helper.make_node("Sigmoid", ["calibrated"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "predictor",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (BATCH, window, features))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (BATCH,)) for name in ("logit", "p")],
        values,
    )
    domains = {"": OPSET, "ai.onnx.ml": TREE_OPSET} | {function.domain: 1 for function in functions}
    opsets = [helper.make_opsetid(*pair) for pair in domains.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="tradsys", functions=functions)


def _constant(name: str, value: float) -> Any:
    return numpy_helper.from_array(np.array(value, np.float32), name)
