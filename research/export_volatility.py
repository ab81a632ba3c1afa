"""The volatility agent as a served graph: what the fitted model says, and nothing it has to be told."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.predictor import BATCH
from models.volatility import INPUTS
from research.volatility import VolatilityModel

NORMAL_TO_LOGISTIC = 1.702  # a logistic curve so steep is nowhere 0.01 from the normal one


def volatility_graph(model: VolatilityModel) -> bytes:
    """Return the served graph: log of the expected variance as ``logit``, the chance of more than now as ``p``."""
    slope, mean, deviation = np.zeros(len(INPUTS)), np.zeros(len(INPUTS)), np.ones(len(INPUTS))
    at = list(model.columns)
    slope[at], mean[at], deviation[at] = model.slope, model.mean, model.deviation
    values = {
        "first": np.array(0, np.int64),
        "day": np.array(INPUTS.index("rv_day"), np.int64),
        "mean": mean.astype(np.float32),
        "deviation": deviation.astype(np.float32),
        "slope": slope.astype(np.float32),
        "intercept": np.array(model.intercept, np.float32),
        "scale": np.array(np.log(model.scale), np.float32),
        "steep": np.array(NORMAL_TO_LOGISTIC / model.spread, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["window", "first"], ["bar"], axis=1),
        helper.make_node("Sub", ["bar", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["standard"]),
        helper.make_node("MatMul", ["standard", "slope"], ["sum"]),
        helper.make_node("Add", ["sum", "intercept"], ["median"]),
        helper.make_node("Add", ["median", "scale"], ["logit"]),
        helper.make_node("Gather", ["bar", "day"], ["now"], axis=1),
        helper.make_node("Sub", ["median", "now"], ["more"]),
        helper.make_node("Mul", ["more", "steep"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes,
        "volatility",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, (BATCH, 1, len(INPUTS)))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (BATCH,)) for name in ("logit", "p")],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, producer_name="tradsys"
    )
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString(deterministic=True))
