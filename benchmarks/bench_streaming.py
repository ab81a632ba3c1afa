"""The streaming Transformer against the windowed one of the same sizes: answers, trainings and one bar at a time.

``python -m benchmarks.bench_streaming`` prints more than the rows of the common table: other sizes, torch's pass. One
thread; medians of processor time, both sides taken in turn. What is timed is checked first: one pass is its steps bit
for bit, and the kernels say what torch says.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch

from benchmarks.measure import Job, Row
from models.network import to_file
from models.predictor import Predictor
from models.streaming import Stream, StreamingPredictor
from research.calibrate import Line
from research.config import parse_config
from research.export_onnx import to_onnx
from research.export_streaming import network_of
from research.fit_streaming import StreamingModel, stream_sizes, stretches
from research.fit_transformer import NeuralModel, sizes_of
from research.losses import binary_loss
from research.networks import Encoder, Scaler
from research.streaming_network import StreamingEncoder

FEATURES, BARS, WINDOWS, ROUNDS, STEPS = 28, 40_000, 4_000, 5, 3_000
LINE = Line("platt", 0.9, 0.05, False)
SIZES = {
    "width 32, 2 heads, 64 hidden": {"width": 32, "heads": 2, "feedforward": 64},
    "width 64, 4 heads, 256 hidden": {"width": 64, "heads": 4, "feedforward": 256},
}


def networks(sizes, window):
    """Return both encoders with untrained numbers; the windowed one reads as many bars as a band has."""
    config = parse_config({"window": window, "threads": 1, "transformer": sizes, "streaming": sizes | {"band": 64}})
    torch.manual_seed(0)
    scaler = Scaler(torch.zeros(FEATURES), torch.ones(FEATURES))
    windowed = Encoder(sizes_of(config, FEATURES), scaler, 0.5).eval()
    streaming = StreamingEncoder(stream_sizes(config, FEATURES), scaler, 0.5).eval()
    return (
        NeuralModel(windowed, sizes_of(config, FEATURES), 0.0, 1),
        StreamingModel(streaming, stream_sizes(config, FEATURES), 1),
    )


def timed(jobs):
    """Return the median processor seconds of each job, taken in turn."""
    spent = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            begun = process_time()
            job()
            spent[name].append(process_time() - begun)
    return {name: median(times) for name, times in spent.items()}


def one_by_one(ask, count):
    """Return median and 99th percentile of single questions, in microseconds of the clock on the wall."""
    spent = []
    for i in range(count):
        begun = perf_counter()
        ask(i)
        spent.append(perf_counter() - begun)
    return [float(1e6 * x) for x in np.percentile(spent[count // 10 :], (50, 99))]


def answers(name, sizes, window, say=print):
    """Say answers a second of both, of torch's pass over the same bars, and what a single answer takes; return them."""
    windowed, streaming = networks(sizes, window)
    matrix = np.random.default_rng(1).standard_normal((BARS, FEATURES)).astype(np.float32)
    reach, network = streaming.sizes.reach, network_of(streaming, LINE)
    predictor = StreamingPredictor(to_file(network), reach, FEATURES)
    graph = Predictor(to_onnx(windowed, LINE, window, FEATURES), window, FEATURES)
    rows, few = np.arange(reach - 1, BARS), np.arange(window - 1, window - 1 + WINDOWS)
    bars, lead = torch.from_numpy(matrix), reach - 1

    def torch_pass():
        with torch.no_grad():
            told = streaming.network(stretches(bars, np.arange(lead, BARS - 1023, 1024), 1024, lead))
        return told[:, lead:].reshape(-1).numpy()

    passed, stepped = predictor.outputs(matrix, rows)[0], Stream(network).show(matrix[:STEPS])[:, 0]
    assert np.array_equal(passed[: STEPS - lead], stepped[lead:])
    stretched = torch_pass()
    assert np.abs(stretched - passed[: len(stretched)]).max() < 1e-5
    with torch.no_grad():
        alone = [streaming.network(bars[None, i : i + reach])[0, -1].item() for i in range(200)]
    differ = np.mean(np.array(alone, np.float32) != stretched[:200])
    spent = timed(
        {
            "windowed": lambda: graph.outputs(matrix, few),
            "pass": lambda: predictor.outputs(matrix, rows),
            "torch": torch_pass,
        }
    )
    counts = {"windowed": WINDOWS, "pass": len(rows), "torch": len(stretched)}
    rates = {name: counts[name] / seconds for name, seconds in spent.items()}
    stream = Stream(network)
    step = one_by_one(lambda i: stream.show(matrix[i : i + 1]), STEPS)
    single = one_by_one(lambda i: graph.outputs(matrix, few[i : i + 1]), 200)
    say(f"{name}; window {window}, band 64 (reach {reach})")
    say(f"  windowed, ONNX Runtime       {rates['windowed']:>10,.0f} answers/s   one answer {single[0]:>6.0f} us")
    ratio = f"{rates['pass'] / rates['windowed']:.1f}x"
    say(f"  streaming, our kernels       {rates['pass']:>10,.0f} answers/s   one step   {step[0]:>6.0f} us  {ratio:>7}")
    say(f"  streaming, torch in stretches{rates['torch']:>10,.0f} answers/s   one by one, {differ:.0%} change bits")
    say(f"  step, 50th and 99th percentile: {step[0]:.0f} and {step[1]:.0f} us")
    return rates, step[0]


def trainings(name, sizes, window, say=print):
    """Say labelled bars and windows a second of a training step, loss and optimiser included; return them."""
    windowed, streaming = networks(sizes, window)
    torch.set_num_threads(1)
    lead = streaming.sizes.reach - 1
    jobs = {}
    for what, network, shape, skipped in (
        ("windowed", windowed.network, (256, window, FEATURES), None),
        ("streaming", streaming.network, (1, 1024 + lead, FEATURES), lead),
    ):
        inputs, y = torch.randn(shape), torch.randint(2, (256,) if skipped is None else (1, 1024)).float()
        jobs[what] = lesson(network.train(), inputs, y, skipped)
    spent = timed(jobs)
    old, new = 256 / spent["windowed"], 1024 / spent["streaming"]
    say(f"{name}; window {window}: training {old:,.0f} windows/s, {new:,.0f} labelled bars/s  {new / old:.1f}x")
    return old, new


def lesson(network, inputs, y, skipped):
    """Return one training step as a job."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=skipped is not None)  # as each is trained

    def step():
        optimiser.zero_grad(set_to_none=True)
        told = network(inputs)
        loss = binary_loss(told if skipped is None else told[:, skipped:], y).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    return step


def silent(_line: str) -> None:
    """Say nothing."""


def run(quick: bool) -> list[Row]:
    """Return the rows of the first size, the one that bundles ship; of both where there is time."""
    torch.set_num_threads(1)
    rows = []
    for name, sizes in list(SIZES.items())[: 1 if quick else None]:
        rates, step_us = answers(name, sizes, 64, silent)
        old, new = trainings(name, sizes, 64, silent)
        rows += [
            Row(
                "streaming, one answer of a pass", name, 1 / rates["pass"], "windowed, ORT", 1 / rates["windowed"], 20.0
            ),
            Row("streaming, one labelled bar trained", name, 1 / new, "windowed, torch", 1 / old, 20.0),
            Row("streaming, one step", name, step_us * 1e-6, most=60e-6),
        ]
    return rows


def jobs() -> dict[str, Job]:
    return {}


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    for name, sizes in SIZES.items():
        for window in (64, 32) if sizes["width"] == 32 else (64,):
            answers(name, sizes, window)
            trainings(name, sizes, window)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
