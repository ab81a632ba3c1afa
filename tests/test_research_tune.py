"""A search counts every trial, picks the simplest within one error, goes on after a stop and is shared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from engine.errors import UsageError
from engine.trials import TrialLedger
from research.config import KINDS, TrainConfig, load_config, parse_config
from research.search_space import SPACE, Range, configured, defaults, searched, space_of, suggest
from research.tune import Search, Tuned, open_studies, quiet, tune
from research.tuned import told, toml_of, write_config
from research.tuning import Task, judge_trial
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
    task = Task(replace(CONFIG, name="mine"), momentum_bars(1500, strength=strength), 3, kinds)
    storage = f"sqlite:///{folder / 'search.db'}"
    return Search(task, trials, random, storage, folder / "trials.db", stamp, **more)


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
    shares = []
    tune(search_in(tmp_path, trials=4, random=0), lambda text, done, whole: shares.append(done / whole))
    assert shares == [1.0]  # six were made: more than asked for is all, and no time is left below zero
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
    task = Task(replace(CONFIG, name="mine"), momentum_bars(900), 3, ("transformer",))
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
    within = SPACE["logistic"]["logistic.penalties"].around(centre)
    assert all(within.low <= row["chosen"]["logistic.penalties"] <= within.high for row in closer.rows)
    with pytest.raises(UsageError, match="--zoom 77: there is no such finished trial; 4 were made"):
        tune(search_in(tmp_path, trials=4, random=0, zoom=77))


@pytest.mark.parametrize("kind", SPACE)
def test_defaults_lie_inside_what_is_searched_and_are_a_valid_configuration(kind):
    chosen = defaults(TrainConfig(), kind)
    assert configured(TrainConfig(), chosen).candidates == (kind,)
    for key, allowed in space_of(TrainConfig(), kind).items():
        if key in chosen:
            value = chosen[key]
            assert allowed.low <= value <= allowed.high if isinstance(allowed, Range) else value in allowed


# a setting far from the default of every kind, and how the fitted numbers show that it arrived
SMALL = {
    "window": 8,
    "barriers": {"hold": 8},
    "features": ["ret_1", "ret_6", "vol_24", "atr_pct_14"],
    "trees": {"rounds": 12, "lags": [0, 1]},
    "transformer": {"epochs": 1, "width": 16, "layers": 1, "feedforward": 16, "batch": 64},
    "streaming": {"epochs": 1, "width": 16, "feedforward": 16, "band": 32, "chunk": 128},
    "resnet": {"epochs": 1, "least_move": 0.3, "batch": 64},
    "supcon": {"epochs": 1, "batch": 64, "projection": 4},
    "ensemble": {"folds": 2},
}
VARIED = {
    "logistic": {"logistic.penalties": 1e-5},
    "trees": {"trees.depth": 6, "trees.least_weight": 5.0},
    "streaming": {"streaming.band": 16, "streaming.layers": 3},
    "resnet": {"resnet.filters": 32},
    "transformer": {"transformer.patch": 4, "transformer.layers": 2},
    "supcon": {"supcon.temperature": 0.5, "transformer.width": 32, "transformer.patch": 8},
    "ensemble": {"ensemble.members": "logistic+resnet", "ensemble.weighing": "pooled"},
}


@pytest.fixture(scope="module")
def toy():
    """Every kind of model on one market whose moves go on."""
    config = replace(parse_config(SMALL), name="toy", threads=1, candidates=("logistic", "trees", "resnet"))
    return Task(config, momentum_bars(1500, strength=0.4), 3, KINDS)


def test_every_kind_that_a_bundle_ships_can_be_searched():
    assert set(SPACE) == set(VARIED) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_of_every_kind_is_judged_on_every_fold_with_its_own_settings(kind, toy):
    usual = defaults(toy.config, kind)
    sizes, losses = [], []
    for chosen in (usual, {key: value for key, value in usual.items() if key != "ensemble.ridge"} | VARIED[kind]):
        folds = []
        judged, line = judge_trial(toy, chosen, lambda fold, seen=folds: bool(seen.append(fold)), at=NOW)
        assert judged.status == line.status == "ok"
        assert len(folds) == 3
        assert np.isfinite(judged.loss)
        assert line.config["tuned"] == chosen
        sizes.append(judged.size)
        losses.append(judged.loss)
    assert losses[0] != losses[1]
    assert (sizes[0] == sizes[1]) == (kind == "logistic")  # a penalty changes numbers, not how many


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_picked_into_a_configuration_that_trains_it(kind, toy, tmp_path):
    pick = defaults(toy.config, kind) | VARIED[kind]

    tuned = Tuned(pick, 0, 0, [], {"ok": 5, "pruned": 2, "nan": 1}, {"trials": 4}, 0.69)
    config = load_config(write_config(replace(toy.config, tried=30), tuned, tmp_path / "pick.toml"))
    assert config.tried == 30 + 5 + 2 + 1 + 4  # a bundle is judged by all that was looked at
    assert config.candidates == tuple(dict.fromkeys(("logistic", kind)))
    for key, value in VARIED[kind].items():
        section, name = key.split(".")
        held = getattr(getattr(config, section), name)
        assert held == ({"penalties": (value,), "members": tuple(str(value).split("+"))}.get(name, value))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_whole_and_zoomed_into_around_its_own_values(kind, toy):
    import optuna

    for seed in range(5):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        far = suggest(study.ask(), toy.config, (kind,))
        assert configured(toy.config, far).candidates == (kind,)  # a configuration that may train
        near = suggest(study.ask(), toy.config, KINDS, far)
        assert near.keys() == far.keys()
        for key, allowed in space_of(toy.config, kind).items():
            if key in far and isinstance(allowed, Range):
                around = allowed.around(far[key])
                assert around.low <= near[key] <= around.high
            elif key in far:
                assert near[key] == far[key]


def test_all_trials_of_a_search_are_judged_on_the_same_rows(toy):
    rows = []
    for kind in ("logistic", "streaming", "resnet"):
        folds = []
        judge_trial(toy, defaults(toy.config, kind), lambda fold, seen=folds: bool(seen.append(fold)), at=NOW)
        rows.append(np.concatenate([fold.rows for fold in folds]))
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])


def test_one_search_chooses_among_all_kinds(toy, tmp_path):
    storage = f"sqlite:///{tmp_path / 'search.db'}"
    tuned = tune(Search(toy, len(KINDS) + 1, 0, storage, tmp_path / "trials.db", stamp))
    assert {row["kind"] for row in tuned.rows} | {tuned.rows[0]["kind"]} >= {"logistic", "trees"}
    assert sum(tuned.counts.values()) == len(KINDS) + 1
    assert tuned.counts["nan"] == 0
    assert len(TrialLedger(tmp_path / "trials.db")) == len(KINDS) + 1
    assert tuned.rows[0]["loss"] < tuned.no_skill  # the moves go on: somebody sees it


def test_what_a_configuration_does_not_allow_is_not_searched():
    wide = parse_config({"window": 8, "transformer": {"heads": 32, "width": 32}})
    assert space_of(wide, "transformer")["transformer.width"] == (32, 64)
    assert space_of(wide, "supcon")["transformer.patch"] == (0, 4, 8)
    assert configured(wide, defaults(wide, "transformer") | {"transformer.patch": 8}).transformer.patch_step == 4
    own = parse_config({"transformer": {"patch": 8, "patch_step": 8}})
    assert configured(own, defaults(own, "transformer")).transformer.patch_step == 8


def test_a_kind_nobody_knows_and_an_ensemble_of_a_pool_are_refused():
    with pytest.raises(UsageError, match="--kind oracle has nothing to tune; tunable: logistic, trees"):
        searched(TrainConfig(), "oracle")
    with pytest.raises(UsageError, match="ensemble must be of one market"):
        searched(TrainConfig(pool=("ETHUSDT-1h",)), "logistic,ensemble")


def test_the_trades_of_a_fold_do_not_know_how_later_folds_are_ranked(toy):
    """A rank among forecasts that were still to come is no rank anybody had."""
    import research.tuning as tuning

    study, config = toy.study, configured(toy.config, defaults(toy.config, "logistic"))
    folds = list(tuning.judged_folds(study, config, 3))
    rows, p, rank = (np.concatenate([getattr(fold, part) for fold in folds]) for part in ("rows", "p", "rank"))
    late = rows >= folds[-1].rows[0]
    moved = np.where(late, np.clip(p + 0.3, 0.01, 0.99), p)  # what the last fold said, said louder
    days, returns = tuning._returns(study, rows, p, rank)
    assert np.count_nonzero(returns) > 20
    border = study.bars.open_time[folds[-1].rows[0]].astype("datetime64[D]").astype(np.int64)
    again = tuning._returns(study, rows, moved, rank)[1]
    assert np.array_equal(returns[days < border], again[days < border])
    own = [tuning.ConfidenceTable.from_predictions(fold.p).rank(fold.p) for fold in folds]
    assert not any(np.allclose(mine, fold.rank) for mine, fold in zip(own, folds, strict=True))


def test_a_configuration_written_as_toml_reads_back_equal(tmp_path):
    chosen = {"kind": "trees", "trees.depth": 5, "trees.rate": 0.0123, "trees.rows": 0.5}
    config = replace(configured(CONFIG, chosen), candidates=("logistic", "trees"))
    (tmp_path / "pick.toml").write_text(toml_of(config))
    assert replace(load_config(tmp_path / "pick.toml"), name="") == config


def test_a_trial_that_was_stopped_midway_is_no_blind_dice(tmp_path):
    search = search_in(tmp_path)
    with quiet():
        open_studies(search)[1].ask()
    told = tune(search).random
    with quiet():
        assert len(open_studies(search)[1].trials) == 3
    assert told["trials"] == 2
