"""The front door: exit codes, one line for a mistake, never a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tradsys
from engine.bars import format_time
from engine.synthetic import random_bars
from models.bundle import load_bundle
from models.folder import write_bundle
from tests.bundles import make_bundle

BARS = random_bars(4000, seed=11)
ROOT = Path(tradsys.__file__).parent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles"), BARS)


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("bars") / "RANDOM-1h.csv"
    columns = (BARS.open, BARS.high, BARS.low, BARS.close, BARS.volume)
    stamps = BARS.open_time.astype("datetime64[ms]").astype("int64")
    rows = [f"{t},{','.join(repr(float(c[i])) for c in columns)}" for i, t in enumerate(stamps)]
    path.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run ``tradsys`` with arguments in an empty folder; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tradsys", *(str(a) for a in args)])
        code = 0
        try:
            tradsys.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_comparison_prints_a_table_and_writes_a_page(run, bundle, csv, tmp_path):
    code, out, _ = run("compare", bundle, "--bars", csv)
    assert code == 0
    for name in ("Sniper", "Audited", "Reckless", "Buy and hold"):
        assert name in out
    assert (tmp_path / "reports" / "compare.html").stat().st_size > 50_000
    assert (tmp_path / "data" / "trials.db").exists()


def test_json_is_all_that_json_prints(run, bundle, csv):
    code, out, _ = run("compare", bundle, "--bars", csv, "--json")
    record = json.loads(out)
    assert (code, record["zone"]["name"], len(record["rows"]) >= 9) == (0, "test", True)


def test_cards_are_printed_on_demand(run, bundle, csv):
    _, out, _ = run("compare", bundle, "--bars", csv, "--cards")
    assert out.count("VERDICT") == 3


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("compare", "nasdq-1d"), "unknown bundle 'nasdq-1d'"),
        (("compare", "BUNDLE", "--bars", "nowhere.csv"), "nowhere.csv"),
        (("compare", "BUNDLE", "--bars", "CSV", "--zone", "tset"), "did you mean 'test'"),
        (("compare", "BUNDLE", "--bars", "CSV", "--fee", "2"), "fee must be in [0, 0.1), was 2.0"),
        (("compare", "BUNDLE", "--bars", "CSV", "--exposure", "1.5"), "exposure must be above 0"),
        (("compare", "BUNDLE", "--bars", "CSV", "--confidence", "rnk"), "unknown confidence mode 'rnk'"),
        (("compare", "BUNDLE", "--bars", "nasdaq-1d"), "was trained on 1h bars"),
        (("explain", "BUNDLE", "--bars", "CSV"), "ask for one thing: --at TIME, --trade N or --vetoes"),
        (("explain", "BUNDLE", "--bars", "CSV", "--trade", "1", "--vetoes"), "ask for one thing"),
        (("explain", "BUNDLE", "--bars", "CSV", "--at", "1999-01-01"), "lies outside these bars"),
        (("explain", "BUNDLE", "--bars", "CSV", "--at", "NaT"), "--at 'NaT' is not a time"),
        (("explain", "BUNDLE", "--bars", "CSV", "--at", "2020-03-01T00:00+05:00"), "write it in UTC"),
        (("explain", "BUNDLE", "--bars", "CSV", "--at", "9999-01-01"), "lies outside these bars"),
        (("explain", "BUNDLE", "--bars", "CSV", "--trade", "100000"), "--trade must be in 1.."),
        (("sweep", "BUNDLE", "--bars", "CSV", "--hold", "1e300"), "hold must be whole, at least 1 bar and at most"),
        (("sweep", "BUNDLE", "--bars", "CSV,CSV", "--zone", "all"), "--bars names RANDOM 1h twice"),
        (("data", "import-series", "CSV", "--name", "", "--lag", "1h"), "'' is no name for a series"),
        (("explain", "BUNDLE", "--bars", "CSV", "--vetoes", "--zone", "tset"), "did you mean 'test'"),
        (("explain", "BUNDLE", "--bars", "CSV", "--vetoes", "--profile", "snipe"), "sniper"),
        (("data", "check", "nowhere.csv"), "nowhere.csv"),
        (("data", "import", "nowhere.csv"), "nowhere.csv"),
        (("train", "mine"), "name the bars to train mine on"),
        (("tune", "mine", "--bars", "CSV", "--storage", "foo"), "--storage foo cannot be opened (Could not parse"),
        (
            ("tune", "mine", "--bars", "CSV", "--storage", "postgre://me:secret@x/y"),
            "--storage postgre://...@x/y cannot",
        ),
        (("tune", "mine", "--bars", "CSV", "--storage", "sqlite:///no/such/x.db"), "unable to open database file"),
        (("experiment", "--all", "--quick", "--bars", "CSV", "--extra", "nosuch"), "--extra nosuch is no folder; name"),
        (("experiment", "A1", "A19", "--bars", "CSV"), "missing below --extra FOLDER: A19 (macro/, perp/)"),
        (("explain", "BUNDLE", "--bars", "HOLES", "--at", "2020-01-05T03:30"), "no bar was open then; the nearest are"),
        (("sweep", "BUNDLE", "--bars", "CSV", "--hold", "1000000000000"), "hold must be whole, at least 1 bar and at"),
        (("sweep", "BUNDLE", "--bars", "CSV", "--workers", "2", "--threads", "2"), "state one"),
        (("data", "import", "CSV", "--symbol", "../../x"), "--symbol '../../x' is no name of a market"),
        (("data", "import", "CSV", "--symbol", ""), "--symbol '' is no name of a market"),
        (
            ("data", "import-series", "CSV", "--name", "x", "--lag", "foo"),
            "--lag 'foo' was not understood; write 0",
        ),
        (("live",), "STRATEGY_PROFILE is missing"),
        (("verify", "nothing-here"), "nothing-here"),
        (("verify", "BUNDLE", "--bars", "nasdaq-1d"), "was trained on 1h bars"),
        (("compare", "BUNDLE", "--bars", "CSV", "--zone", "TEST"), "did you mean 'test'"),
        (("compare", "BUNDLE", "--bars", "CSV", "--out", "."), ". is a folder; name a file to write"),
        (("compare", "BUNDLE", "--bars", "CSV", "--out", "CSV/x.html"), "is a file; name another place"),
        (("compare", "BUNDLE", "--bars", "CSV", "--ledger", "CSV/x.db"), "is a file; name another place"),
        (("backtest", "sniper", "--bundle", "BUNDLE", "--bars", "CSV", "--csv", "CSV"), "name a folder to write into"),
        (("train", "mine", "--bars", "CSV", "--out", "CSV"), "is a file; name a folder to write into"),
        (("train", "mine", "--bars", "CSV", "--out", "BUNDLE"), "holds a released bundle; name another --out, or"),
        (("train", "mine", "--bars", "CSV", "--config", "defualt"), "did you mean 'default'"),
        (("compare", "BUNDLE", "--bars", "CSV", "--data", "nowhere"), "--data nowhere does not exist"),
        (("explain", "BUNDLE", "--bars", "CSV", "--data", "nowhere", "--vetoes"), "--data nowhere does not exist"),
        (("data", "list", "--data", "CSV"), "is a file; name the folder of the stored series"),
        (("data", "import", "CSV", "--data", "CSV"), "is a file; name the folder of the stored series"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, bundle, csv, args, said):
    lines = csv.read_text().splitlines(keepends=True)
    holes = csv.parent.parent / "HOLES-1h.csv"
    holes.write_text("".join([*lines[:90], *lines[110:]]))
    args = [a.replace("BUNDLE", str(bundle)).replace("CSV", str(csv)).replace("HOLES", str(holes)) for a in args]
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err + out


def test_laws_about_nothing_are_not_said_to_hold(run, bundle, csv, tmp_path):
    short = tmp_path / "SHORT-1h.csv"
    short.write_text("".join(csv.read_text().splitlines(keepends=True)[:21]))
    code, out, err = run("verify", bundle, "--bars", short)
    assert (code, out) == (2, "")
    assert "the longest run in the 20 given has 20; bring a longer history" in err


def test_a_refused_comparison_leaves_nothing_behind(run, bundle, csv, tmp_path):
    run("compare", bundle, "--bars", csv, "--data", "nowhere")
    run("compare", bundle, "--bars", csv, "--out", ".")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_while_it_is_written_leaves_no_part_of_it(tmp_path):
    from engine.errors import UsageError
    from engine.report.export import write_columns
    from engine.report.paths import written_whole

    (tmp_path / "taken.csv").mkdir()
    with pytest.raises(UsageError, match=r"taken.csv cannot be written: .*; name another place"):
        write_columns({"A": [1]}, tmp_path / "taken.csv")

    def killed() -> None:
        with written_whole(tmp_path / "x.html") as unfinished:
            unfinished.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        killed()
    assert [path.name for path in tmp_path.iterdir()] == ["taken.csv"]


def test_csv_times_are_iso_to_the_second(run, bundle, csv, tmp_path):
    assert run("backtest", "reckless", "--bundle", bundle, "--bars", csv, "--csv", "out")[0] == 0
    head, first, *_ = (tmp_path / "out" / "reckless-equity.csv").read_text().splitlines()
    assert head.split(",")[0] == '"Close Time"'
    assert re.fullmatch(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"', first.split(",")[0])


def test_a_second_release_says_so(run, bundle):
    code, out, _ = run("release", bundle)
    assert (code, "was released already" in out) == (0, True)


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("train mine", "run the same command with --resume"),
        ("volatility mine", "run the same command with --resume"),
        ("tune mine", "finished trials are kept: the same command goes on"),
        ("experiment A1", "finished experiments are kept: with --all the same command goes on"),
        ("data list", "nothing half-written"),
    ],
)
def test_ctrl_c_ends_a_verb_with_a_line_and_130(run, monkeypatch, verb, said):
    def stop(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("research.road.train_bundle", stop)
    monkeypatch.setattr("research.volatility_road.show_volatility", stop)
    monkeypatch.setattr("research.tuning_road.tune_named", stop)
    monkeypatch.setattr("research.experiments.conduct.run_named", stop)
    monkeypatch.setattr("engine.history.list_series", stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        code, out, err = run(*verb.split())
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, out, err.startswith("stopped; "), said in err) == (130, "", True, True)


def test_an_import_says_what_is_missing(run, csv, tmp_path):
    head, *rows = csv.read_text().splitlines()
    (tmp_path / "HOLES-1h.csv").write_text("\n".join([head, *rows[:100], *rows[500:]]) + "\n")
    _, out, _ = run("data", "import", tmp_path / "HOLES-1h.csv")
    assert "stored HOLES-1h: 3600 bars, 1 gap (400 bars missing); compare with" in out


def test_too_little_history_is_said_in_one_line(run, bundle, csv, tmp_path):
    head, *rows = csv.read_text().splitlines()
    (tmp_path / "SHORT-1h.csv").write_text("\n".join([head, *rows[-40:]]) + "\n")
    code, out, _ = run("compare", bundle, "--bars", tmp_path / "SHORT-1h.csv", "--zone", "all")
    assert (code, out.count("no decision was possible")) == (0, 1)


def test_two_who_write_the_same_file_at_once_each_write_a_whole_one(tmp_path):
    from engine.report.paths import written_whole

    with written_whole(tmp_path / "x.html") as first:
        first.write_text("first")
        with written_whole(tmp_path / "x.html") as second:
            second.write_text("sec")
        assert (tmp_path / "x.html").read_text() == "sec"
    assert (tmp_path / "x.html").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("zone", ["all", "development"])
def test_two_bars_are_too_few_whatever_the_zone(run, bundle, csv, tmp_path, zone):
    short = tmp_path / "RANDOM-1h.csv"
    short.write_text("\n".join(csv.read_text().splitlines()[:3]) + "\n")
    code, out, err = run("compare", bundle, "--bars", short, "--zone", zone)
    assert (code, out) == (2, "")
    assert f"zone {zone} holds 2 of 2 bars of RANDOM, at least 3 are needed" in err


def test_costs_that_are_allowed_stay_allowed_when_the_stress_multiplies_them(run, bundle, csv):
    code, _, err = run("compare", bundle, "--bars", csv, "--fee", "0.06", "--maker-fee", "-0.006", "--exposure", "0.5")
    assert (code, "must be" in err) == (0, False)


def test_a_threshold_no_probability_reaches_is_said(run, bundle, csv):
    _, out, _ = run("compare", bundle, "--bars", csv, "--confidence", "probability")
    assert re.search(r"Sniper: no calibrated probability reaches 0.95 \(highest 0\.\d\d\)", out)


def at_width(monkeypatch, width):
    from rich.console import Console

    for module in ("engine.report.terminal", "engine.report.lists", "engine.sweep.text"):
        monkeypatch.setattr(f"{module}.console", lambda: Console(width=width, highlight=False))


def figures(text):
    """Every word of a table, however its lines are laid out."""
    return sorted(text.replace("..", " ").split())


@pytest.mark.parametrize("width", [40, 60, 80, 96, 120])
def test_a_narrow_terminal_shows_every_figure_in_more_lines(run, bundle, csv, monkeypatch, width):
    def table(columns):
        at_width(monkeypatch, columns)
        _, out, _ = run("compare", bundle, "--bars", csv)
        return out[out.index("strategy") : out.index("Sniper: ")]

    wide, narrow = table(400), table(width)
    rule = "─"
    assert figures(narrow.replace(rule, "")) == figures(wide.replace(rule, ""))
    longest = max(len(line.rstrip()) for line in narrow.splitlines())
    assert longest <= max(width, 60)
    assert (len(narrow.splitlines()) > len(wide.splitlines())) == (width < 116)


@pytest.mark.parametrize("width", [50, 60, 80])
def test_a_sweep_on_a_narrow_terminal_cuts_no_number(run, bundle, csv, monkeypatch, width):
    asked = ("--bars", csv, "--threshold", "0.5:0.95:12", "--k-up", "1,2", "--k-down", "1,2", "--hold", "10:120:12")
    code, told, why = run("sweep", bundle, *asked, "--json")
    assert code == 0, why
    top = json.loads(told)["top"]
    at_width(monkeypatch, width)
    out = run("sweep", bundle, *asked)[1]
    table, rest = out.split("confidence by rank\n")[1].split("Sharpe ratio at")
    heat = rest.split("columns:")[0]
    assert "…" not in out
    assert max(len(line.rstrip()) for line in (*table.splitlines(), *heat.splitlines())) <= max(width, 58)
    for row in top:
        for told in (f"{row['total_return']:+.1%}", f"{row['max_drawdown']:.1%}", f"{row['neighbours']['worst']:+.2f}"):
            assert told in table.split()


@pytest.mark.parametrize("width", [60, 100])
def test_the_lines_of_a_card_go_on_below_their_text_on_a_terminal_only(run, bundle, csv, monkeypatch, width):
    from rich.console import Console

    asked = ("backtest", "reckless", "--bundle", bundle, "--bars", csv)
    (calibration,) = (line for line in run(*asked)[1].splitlines() if line.startswith("  calibration"))
    monkeypatch.setattr(
        "engine.report.terminal.console", lambda: Console(width=width, highlight=False, force_terminal=True)
    )
    lines = run(*asked)[1].splitlines()
    assert max(map(len, lines)) <= width
    begin = next(i for i, line in enumerate(lines) if line.startswith("  calibration"))
    end = next(i for i, line in enumerate(lines) if i > begin and line[2] != " ")
    assert end > begin + 1
    assert all(line.startswith(" " * 17) for line in lines[begin + 1 : end])
    assert " ".join(" ".join(lines[begin:end]).split()) == " ".join(calibration.split())


@pytest.mark.parametrize("width", [30, 60, 80])
def test_whether_a_law_holds_is_seen_at_every_width(monkeypatch, capsys, width):
    from engine.report.terminal import print_checks

    at_width(monkeypatch, width)
    law = {"tried": 2560, "measured": "AUC 0.512 [0.480, 0.544] where 0.5 is chance", "failure": ""}
    held = {**law, "name": "Sniper: the bot's ledger is the backtest, restart included", "passed": True}
    broken = {**held, "passed": False, "failure": "row 17 differs"}
    print_checks([held, broken], False, "nasdaq-1d", "NASDAQ 1d, 5031 bars")
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if "2560" in line]
    assert [line[0] for line in lines] == ["pass", "FAIL"]
    assert "1 of 2 laws are broken" in out
    assert "0.480" in out


def test_usage_errors_exit_with_2(run):
    assert run("compare", "--no-such-option")[0] == 2
    assert run("no-such-verb")[0] == 2


@pytest.mark.parametrize(
    "verb",
    [
        "compare",
        "explain",
        "train",
        "tune",
        "verify",
        "live",
        "sweep",
        "cache",
        "data fetch",
        "data import",
        "data import-series",
        "live dashboard",
        "live drift",
        "data check",
        "data list",
    ],
)
def test_every_verb_has_help_with_an_example(run, verb):
    code, out, _ = run(*verb.split(), "--help")
    assert code == 0
    assert "Example: tradsys" in out


def test_import_list_check_and_compare_a_file_of_ones_own(run, bundle, csv):
    code, out, _ = run("data", "import", csv)
    assert (code, "stored RANDOM-1h: 4000 bars" in out) == (0, True)
    assert "RANDOM-1h" in run("data", "list")[1]
    assert json.loads(run("data", "check", "RANDOM-1h", "--json")[1])["rows"] == 4000
    assert run("compare", bundle, "--bars", "RANDOM-1h")[0] == 0


def test_a_file_that_must_be_refused_fails_its_check(run, csv, tmp_path):
    lines = csv.read_text().splitlines()
    (tmp_path / "bad-1h.csv").write_text("\n".join([*lines[:50], lines[49], *lines[50:200]]) + "\n")
    code, out, _ = run("data", "check", tmp_path / "bad-1h.csv")
    assert (code, "duplicate" in out) == (1, True)
    assert run("data", "import", tmp_path / "bad-1h.csv")[0] == 2
    assert "bad" not in run("data", "list")[1]


def test_verify_passes_and_a_damaged_bundle_fails_it(run, bundle, csv, tmp_path):
    import shutil

    code, out, _ = run("verify", bundle, "--bars", csv)
    assert (code, "all laws hold" in out) == (0, True)
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle, damaged)
    raw = bytearray((damaged / "auditor.json").read_bytes())
    raw[100] ^= 1
    (damaged / "auditor.json").write_bytes(bytes(raw))
    code, out, _ = run("verify", damaged, "--bars", csv, "--json")
    assert code == 1
    assert "auditor.json" in json.loads(out)["checks"][0]["failure"]


@pytest.fixture(scope="module")
def draft(bundle, tmp_path_factory):
    manifest = replace(load_bundle(bundle).manifest, released=False)
    files = {name: (bundle / name).read_bytes() for name in manifest.files}
    return write_bundle(tmp_path_factory.mktemp("drafts") / "toy", manifest, files)


def test_an_explanation_shows_evidence_gates_and_outcome_and_whether_it_is_in_sample(run, bundle, csv):
    code, out, _ = run("explain", bundle, "--bars", csv, "--trade", "1", "--zone", "oos")
    assert (code, "recorded by the walk-forward" in out, "IN-SAMPLE" in out) == (0, True, False)
    for part in ("predictor", "regime", "auditor", "gates", "bracket", "outcome"):
        assert part in out
    _, out, _ = run("explain", bundle, "--bars", csv, "--at", format_time(BARS.open_time[2000]))
    assert "IN-SAMPLE: parts of the bundle were fitted on RANDOM-11 at the time of this bar" in out
    _, out, _ = run("explain", bundle, "--bars", csv, "--trade", "1", "--json")
    assert json.loads(out, parse_constant=lambda word: pytest.fail(word))["in_sample"] is False


def test_a_look_at_a_draft_s_sealed_bar_needs_a_reason_and_every_report_counts_it(run, draft, bundle, csv, tmp_path):
    sealed, book = format_time(BARS.open_time[-100]), tmp_path / "my.db"
    looking = ("explain", draft, "--bars", csv, "--at", sealed, "--zone", "oos", "--ledger", book)
    code, out, err = run(*looking)
    assert (code, out, "is a draft" in err, book.exists()) == (2, "", True, False)
    assert run(*looking, "--unseal", "curious")[0] == 0
    assert run(*looking, "--unseal", "still curious")[0] == 0
    retrained = make_bundle(tmp_path, BARS, name="retrained", seed=5)
    for released in (bundle, retrained):
        _, out, _ = run("compare", released, "--bars", csv, "--ledger", book, "--json")
        assert json.loads(out)["judgement"]["looks"] == 2
    run("compare", retrained, "--bars", csv, "--ledger", book)
    page = (tmp_path / "reports" / "compare.html").read_text()
    assert '"looks":2' in page.replace(" ", "")


def test_the_bot_does_not_show_a_draft_s_sealed_bars(run, draft, csv, tmp_path):
    (tmp_path / ".env").write_text(f"STRATEGY_PROFILE=SNIPER\nBOT_BUNDLE={draft}\nBOT_LEDGER={tmp_path / 'bot.db'}\n")
    code, out, err = run("live", "--replay", csv)
    assert (code, out) == (2, "")
    assert "SettingsError: BOT_BUNDLE toy is a draft and these bars reach into its sealed test zone (from" in err


def test_an_unknown_bundle_is_listed_with_the_other_lines_to_fix(run, csv, tmp_path):
    (tmp_path / ".env").write_text("STRATEGY_PROFILE=SNIPR\nBOT_BUNDLE=nasdq-1d\n")
    code, out, err = run("live", "--replay", csv)
    assert (code, out) == (2, "")
    assert ".env:1 STRATEGY_PROFILE='SNIPR'" in err
    assert ".env:2 BOT_BUNDLE='nasdq-1d' is refused: unknown bundle 'nasdq-1d'; did you mean 'nasdaq-1d'?" in err
    assert "or name the folder of one" in err


def test_on_a_pipe_progress_is_plain_lines_and_not_too_many(capsys):
    from live.check import Plain
    from research.progress import plain_lines, progress_bar

    for every_s, lines in ((0.0, 3), (60.0, 0)):
        told: list[str] = []
        tell, say = plain_lines(told.append, every_s), Plain(told.append, every_s)
        for done in (0.0, 1.0, 2.0):
            tell("fold", done, 4.0)
            say("decisions: 1 of 3")
        assert len(told) == 2 * lines
    with progress_bar() as bar:
        bar("fold", 1.0, 4.0)
    assert capsys.readouterr() == ("", "")


def test_a_mistake_in_train_is_found_before_torch_is_imported(tmp_path, csv):
    code = (
        "import sys, tradsys\ntry: tradsys.main()\n"
        "except SystemExit as end: print(end.code, [m for m in ('torch', 'sklearn', 'hmmlearn') if m in sys.modules])"
    )
    root = Path(tradsys.__file__).parent
    for wrong in (("--bars", "nowhere.csv"), ("--bars", csv, "--config", "defualt"), ("--bars", csv, "--out", csv)):
        told = [sys.executable, "-c", code, "train", "mine", *map(str, wrong)]
        done = subprocess.run(told, cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True)
        assert done.stdout == "2 []\n"


@pytest.mark.parametrize(
    "args",
    [
        ("compare", "BUNDLE", "--bars", "CSV", "--out", "PIPE"),
        ("compare", "BUNDLE", "--bars", "CSV", "--ledger", "PIPE"),
        ("backtest", "sniper", "--bundle", "BUNDLE", "--bars", "CSV", "--ledger", "PIPE"),
        ("sweep", "BUNDLE", "--bars", "CSV", "--out", "PIPE"),
        ("train", "mine", "--bars", "CSV", "--out", "mine", "--ledger", "PIPE"),
        ("tune", "mine", "--bars", "CSV", "--ledger", "PIPE"),
        ("volatility", "CSV", "--out", "PIPE"),
        ("experiment", "A1", "--bars", "CSV", "--ledger", "PIPE"),
        ("leaderboard", "--results", "RESULTS", "--out", "PIPE"),
    ],
    ids=lambda args: f"{args[0]} {args[-2]}",
)
def test_nothing_takes_the_place_of_a_device_or_a_pipe(run, bundle, csv, tmp_path, args):
    places = {"BUNDLE": bundle, "CSV": csv, "PIPE": tmp_path / "pipe", "RESULTS": ROOT / "research" / "results"}
    os.mkfifo(tmp_path / "pipe")
    code, _, err = run(*(places.get(arg, arg) for arg in args))
    assert (code, err) == (2, f"UsageError: {tmp_path / 'pipe'} is a device or a pipe; name a file to write\n")
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_stays_and_what_it_leads_to_is_written(run, bundle, csv, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "page.html").symlink_to(tmp_path / "kept" / "page.html")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert run("compare", bundle, "--bars", csv, "--out", "page.html")[0] == 0
    assert (tmp_path / "page.html").is_symlink()
    assert (tmp_path / "kept" / "page.html").stat().st_size > 50_000
    assert "links lead round" in run("compare", bundle, "--bars", csv, "--out", "round")[2]


def test_a_bundle_is_written_where_a_link_leads(tmp_path, bundle):
    manifest = load_bundle(bundle).manifest
    files = {name: (bundle / name).read_bytes() for name in manifest.files}
    (tmp_path / "there").mkdir()
    (tmp_path / "toy").symlink_to(tmp_path / "there")
    for _ in range(2):
        assert write_bundle(tmp_path / "toy", manifest, files) == tmp_path / "toy"
    assert (tmp_path / "toy").is_symlink()
    assert (tmp_path / "there" / "manifest.json").is_file()
