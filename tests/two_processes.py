"""One of the processes of a training together: its rank, the meeting file and where the first one writes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from research.candidates import fit_candidate
from research.distributed import together
from research.hardware import agreed, own_share, rank
from tests.research_toys import dice, halves, settings


def main(number: int, count: int, meeting: str, out: Path) -> None:
    examples = dice(600, planted=1.0)
    config = settings({"epochs": 2}, supcon={"epochs": 1, "batch": 64, "stride": 1, "penalties": [0.1]})
    with together("cpu", f"file://{meeting}", number, count):
        assert rank() == number
        assert (agreed(float(number)), agreed(float(number), smallest=True)) == (0.0, 0.0)
        assert own_share(np.arange(7)).tolist() == [number, number + 2, number + 4]
        model, notes = fit_candidate("transformer", examples, halves(examples), config)
        contrast, _ = fit_candidate("supcon", examples, halves(examples), config)
    told = {"logits": model.logits(examples, examples.rows), "losses": np.array(notes["inner_losses"])}
    np.savez(out / f"{number}.npz", contrast=contrast.logits(examples, examples.rows), **told)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
