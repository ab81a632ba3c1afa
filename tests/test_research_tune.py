"""A search counts every trial, picks the simplest within one error, goes on after a stop and is shared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from engine.errors import UsageError
from engine.trials import TrialLedger
from research.config import TrainConfig, load_config, parse_config
from research.search_space import SPACE, Range, configured, defaults
from research.tune import Search, tune
from research.tuned import told, toml_of
from research.tuning import judge_trial, plain_task
from tests.markets import momentum_bars

NOW = "2026-01-01T00:00:00Z"
CONFIG = parse_config(
    {
        "window": 8,
        "barriers": {"hold": 8},
        "features": ["ret_1", "ret_3", "vol_24"],
        "trees": {"rounds": 30, "lags": [0, 1]},
        "transformer": {"epochs": 2},
    }
)


def stamp():
    return NOW


def search_in(folder, kinds=("logistic",), trials=4, random=2, strength=0.3, **more):
    task = plain_task(replace(CONFIG, name="mine"), momentum_bars(1500, strength=strength), folds=3)
    storage = f"sqlite:///{folder / 'search.db'}"
    return Search(task, kinds, trials, random, storage, folder / "trials.db", stamp, **more)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    search = search_in(tmp_path_factory.mktemp("tune"), kinds=("logistic", "trees"), trials=6, random=3)
    return search, tune(search)


def test_every_trial_of_sampler_and_dice_is_in_the_trial_ledger(done):
    search, tuned = done
    lines = TrialLedger(search.ledger).trials()
    assert len(lines) == sum(tuned.counts.values()) + tuned.random["trials"] == 9
    assert {line.kind for line in lines} == {"tune"}
    assert {line.zone for line in lines} == {"development"}
    assert all(len(line.returns) == len(line.days) > 30 for line in lines if line.status == "ok")
    assert TrialLedger(search.ledger).broken() is None


def test_the_pick_is_the_simplest_within_one_error_of_the_best(done):
    _, tuned = done
    near = [row for row in tuned.rows if row["gap"] <= row["gap_se"]]
    pick = next(row for row in tuned.rows if row["number"] == tuned.number)
    assert pick in near
    simplest = min(near, key=lambda row: (["logistic", "trees"].index(row["kind"]), row["size"], row["gap"]))
    assert pick == simplest
    assert tuned.rows[0]["number"] == tuned.best


def test_what_one_would_train_anyway_takes_part(done):
    _, tuned = done
    usual = {kind: defaults(CONFIG, kind) for kind in ("logistic", "trees")}
    assert all(any(row["chosen"] == chosen for row in tuned.rows) for chosen in usual.values())


def test_losses_stand_beside_no_skill_and_blind_dice(done):
    _, tuned = done
    text = "\n".join(told(tuned))
    assert f"no skill loses {tuned.no_skill:.5f}" in text
    assert "blind dice, 3 trials: best 0." in text
    assert 0.6 < tuned.no_skill <= np.log(2)


def test_the_same_command_goes_on_where_it_stopped(tmp_path):
    first = tune(search_in(tmp_path, trials=3, random=0))
    again = tune(search_in(tmp_path, trials=3, random=0))
    assert again == first
    more = tune(search_in(tmp_path, trials=6, random=0))
    assert len(more.rows) + more.counts["pruned"] == 6
    values = [row["chosen"]["logistic.penalties"] for row in more.rows]
    assert len(set(values)) == len(values)  # the dice do not begin again


def test_one_worker_finds_the_same_twice(tmp_path):
    found = []
    for name in "ab":
        (tmp_path / name).mkdir()
        found.append(tune(search_in(tmp_path / name, trials=4)))
    assert found[0] == found[1]


def test_other_bars_or_settings_are_another_search(tmp_path):
    one = search_in(tmp_path)
    assert one.name != search_in(tmp_path, strength=0.1).name
    other = replace(one, task=replace(one.task, config=replace(one.task.config, window=16)))
    assert one.name != other.name


def test_two_processes_share_a_search(tmp_path):
    code = (
        "import sys; from pathlib import Path; from research.tune import work\n"
        "from tests.test_research_tune import search_in\n"
        "work(search_in(Path(sys.argv[1]), trials=8, random=0), int(sys.argv[2]))"
    )
    from research.tune import open_studies, picked, quiet

    search = search_in(tmp_path, trials=8, random=0)
    with quiet():
        open_studies(search)
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)], text=True) for i in (1, 2)]
    assert [process.wait(120) for process in both] == [0, 0]
    with quiet():
        tuned = picked(search)
    judged = sum(tuned.counts.values())
    assert judged in (8, 9)  # both may begin the last one
    assert len(TrialLedger(search.ledger)) == judged
    assert TrialLedger(search.ledger).broken() is None


def test_a_network_that_breaks_down_is_counted_and_not_picked(tmp_path):
    task = plain_task(replace(CONFIG, name="mine"), momentum_bars(900), folds=3)
    chosen = defaults(CONFIG, "transformer") | {"transformer.rate": 1e30, "transformer.width": 16}
    judged, line = judge_trial(task, chosen, at=NOW)
    assert (judged.status, line.status, line.metric, judged.blocks) == ("nan", "nan", None, [])


def test_a_pruned_trial_is_counted_with_what_it_lost_so_far(tmp_path):
    task = search_in(tmp_path).task
    seen = []
    judged, line = judge_trial(task, defaults(CONFIG, "logistic"), lambda fold: bool(seen.append(fold)) or True)
    assert (judged.status, line.status, len(seen)) == ("pruned", "pruned", 1)
    assert judged.loss == pytest.approx(seen[0].loss)
    assert len(line.returns) == 0


def test_a_zoom_stays_around_its_trial(tmp_path):
    whole = tune(search_in(tmp_path, trials=4, random=0))
    centre = whole.rows[0]["chosen"]["logistic.penalties"]
    closer = tune(search_in(tmp_path, trials=4, random=0, zoom=whole.rows[0]["number"]))
    within = SPACE["logistic"]["penalties"].around(centre)
    assert all(within.low <= row["chosen"]["logistic.penalties"] <= within.high for row in closer.rows)
    with pytest.raises(UsageError, match="--zoom 77: there is no such finished trial; 4 were made"):
        tune(search_in(tmp_path, trials=4, random=0, zoom=77))


@pytest.mark.parametrize("kind", SPACE)
def test_defaults_lie_inside_what_is_searched_and_are_a_valid_configuration(kind):
    chosen = defaults(TrainConfig(), kind)
    assert configured(TrainConfig(), chosen).candidates == (kind,)
    for key, allowed in SPACE[kind].items():
        value = chosen[f"{kind}.{key}"]
        assert allowed.low <= value <= allowed.high if isinstance(allowed, Range) else value in allowed


def test_a_configuration_written_as_toml_reads_back_equal(tmp_path):
    chosen = {"kind": "trees", "trees.depth": 5, "trees.rate": 0.0123, "trees.rows": 0.5}
    config = replace(configured(CONFIG, chosen), candidates=("logistic", "trees"))
    (tmp_path / "pick.toml").write_text(toml_of(config))
    assert replace(load_config(tmp_path / "pick.toml"), name="") == config
