"""Order books: by hand, by symmetry, and as recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from engine.errors import DataError, UsageError
from engine.features import feature_matrix
from engine.history.context import with_context
from engine.history.external import as_of
from engine.history.store import Store
from research.orderbook import (
    LONGEST_STEP_NS,
    Book,
    book_bars,
    microprice_deviation,
    order_flow,
    queue_imbalance,
    read_book,
    trade_bars,
)
from research.orderbook_road import partly_recorded, store_book
from research.verbs import research_app

SECOND = 10**9
NAMES = ("book_imbalance", "ofi", "microprice_dev", "imbalance_deep", "ofi_deep", "spread_bp")


def book_of(rows, step_ns=100_000_000, start="2024-08-08T00:00:00"):
    """Return a book of one level from (bid, size, ask, size) rows, the first one a step after the start."""
    sides = np.array(rows, np.float64).T[:, :, None].copy()
    at = np.datetime64(start, "ns") + (1 + np.arange(len(rows))) * np.timedelta64(step_ns, "ns")
    return Book("HAND", at, *sides)


# bid rises with 4; ask is pulled back with 3; bid falls to 5; both queues change at their prices
BY_HAND = book_of(
    [
        (100.0, 5.0, 101.0, 3.0),
        (100.5, 4.0, 101.0, 3.0),
        (100.5, 4.0, 101.5, 2.0),
        (100.0, 5.0, 101.5, 2.0),
        (100.0, 7.0, 101.5, 6.0),
    ]
)


def mirrored(book):
    """Return the book seen from the other side: prices turned over, bids and asks exchanged."""
    return replace(
        book,
        bid_price=400.0 - book.ask_price,
        bid_size=book.ask_size,
        ask_price=400.0 - book.bid_price,
        ask_size=book.bid_size,
    )


books = st.lists(
    st.tuples(st.integers(90, 99), st.integers(1, 9), st.integers(100, 109), st.integers(1, 9)),
    min_size=2,
    max_size=40,
).map(book_of)


def slow_flow(book, k=0):
    """Return the flow of each event by the words of the paper."""
    out = [np.nan]
    for n in range(1, len(book)):
        bid, ask = book.bid_price[:, k], book.ask_price[:, k]
        e = 0.0
        if bid[n] >= bid[n - 1]:
            e += book.bid_size[n, k]
        if bid[n] <= bid[n - 1]:
            e -= book.bid_size[n - 1, k]
        if ask[n] <= ask[n - 1]:
            e -= book.ask_size[n, k]
        if ask[n] >= ask[n - 1]:
            e += book.ask_size[n - 1, k]
        out.append(e)
    return np.array(out)


def test_five_events_by_hand():
    # a bid of 4 comes in; the ask's 3 are taken; the bid's 4 are taken; +2 bid and -4 asked
    np.testing.assert_array_equal(order_flow(BY_HAND)[:, 0], [np.nan, 4.0, 3.0, -4.0, -2.0])
    np.testing.assert_allclose(queue_imbalance(BY_HAND), [2 / 8, 1 / 7, 2 / 6, 3 / 7, 1 / 13])
    # mid 100.5, microprice (101 * 5 + 100 * 3) / 8 = 100.625
    assert microprice_deviation(BY_HAND)[0] == pytest.approx(1e4 * 0.125 / 100.5)


@settings(max_examples=100, deadline=None)
@given(books)
def test_flows_are_the_papers(book):
    np.testing.assert_array_equal(order_flow(book)[:, 0], slow_flow(book))


@settings(max_examples=60, deadline=None)
@given(books)
def test_the_other_side_sees_everything_with_the_other_sign(book):
    other = mirrored(book)
    np.testing.assert_array_equal(order_flow(other), -order_flow(book))
    np.testing.assert_array_equal(queue_imbalance(other), -queue_imbalance(book))
    same_unit = microprice_deviation(other) * other.mid / book.mid
    np.testing.assert_allclose(same_unit, -microprice_deviation(book), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=40))
def test_on_one_level_flows_sum_to_the_net_signed_size(orders):
    """Prices stand still: what is added to the bid counts for it, what is added to the ask against it."""
    bid, ask, rows = 1000.0, 1000.0, [(100.0, 1000.0, 101.0, 1000.0)]
    for size, at_the_bid in orders:
        bid, ask = (bid + size, ask) if at_the_bid else (bid, ask + size)
        rows.append((100.0, bid, 101.0, ask))
    net = sum(size if at_the_bid else -size for size, at_the_bid in orders)
    assert np.nansum(order_flow(book_of(rows))) == net


def test_a_missing_or_crossed_book_is_unknown_and_so_is_what_flowed_to_and_from_it():
    book = book_of([(100, 5, 101, 5), (100, 0, 101, 5), (100, 5, 101, 6), (102, 5, 101, 6), (100, 5, 101, 5)])
    assert book.whole.tolist() == [True, False, True, False, True]
    assert np.isnan(order_flow(book)).all()
    assert np.isnan(queue_imbalance(book)[[1, 3]]).all()
    assert np.isnan(microprice_deviation(book)[[1, 3]]).all()


def test_what_flowed_in_a_hole_is_unknown():
    book = book_of([(100, 5, 101, 5)] * 3, step_ns=LONGEST_STEP_NS + 1)
    assert np.isnan(order_flow(book)).all()


def test_a_bar_is_made_of_the_snapshots_up_to_its_close_and_none_later():
    rows = [(100.0, 5.0, 101.0, 5.0), (100.0, 8.0, 101.0, 5.0), (100.0, 8.0, 101.0, 2.0), (100.0, 1.0, 101.0, 9.0)]
    book = book_of(rows, step_ns=SECOND // 2)  # at 0.5, 1.0, 1.5 and 2.0 s
    told = book_bars(book, SECOND)
    assert told.known_at.astype("M8[s]").tolist() == list(
        np.array(["2024-08-08T00:00:01", "2024-08-08T00:00:02"], "M8[s]").tolist()
    )
    np.testing.assert_allclose(told.columns["book_imbalance"], [3 / 13, -8 / 10])
    np.testing.assert_allclose(told.columns["ofi"], [3.0 / ((5 + 6.5) / 2), (3.0 - 7.0 - 7.0) / 5.0])
    np.testing.assert_allclose(told.columns["snapshots"], [2, 2])


def test_a_bar_does_not_change_when_later_snapshots_arrive(shared_data):
    book = read_book(shared_data / "orderbook" / "BTCUSDT_usdm_20240808_L2top20_100ms.parquet")
    whole = book_bars(book, 10 * SECOND)
    for n in (500, 1777, 3000):
        part = book_bars(Book(book.symbol, *(getattr(book, f)[:n] for f in Book.__slots__[1:])), 10 * SECOND)
        over = part.known_at <= book.known_at[n - 1]
        for name, column in part.columns.items():
            np.testing.assert_array_equal(column[over], whole.columns[name][: over.sum()])
        assert over.sum() >= len(part) - 1


def test_recorded_books_reach_features_and_flow_goes_with_the_price(shared_data, tmp_path):
    """The impact is at once (correlation near 0.6); where nothing was recorded nothing is known."""
    folder, second = shared_data / "orderbook", Store(tmp_path)
    book = read_book(folder / "BTCUSDT_spot_20240808_L2top20_100ms.parquet")
    second.keep_values(book_bars(book, SECOND), "book")
    bars = trade_bars(folder / "BTCUSDT_spot_20240808_trades.parquet", SECOND)
    matrix = feature_matrix(with_context(bars, NAMES, tmp_path), NAMES)
    known = np.isfinite(matrix).all(axis=1)
    assert known.mean() > 0.99
    moves = np.diff(np.log(bars.close))
    both = known[1:]
    assert np.corrcoef(matrix[1:][both, 1], moves[both])[0, 1] > 0.5
    assert np.abs(matrix[known, 0]).max() <= 1.0
    silent = bars.open_time < book.known_at[0] - np.timedelta64(SECOND, "ns")
    assert np.isnan(matrix[silent]).all()


def test_every_recorded_book_is_read_and_one_without_levels_is_refused(shared_data, tmp_path):
    folder = shared_data / "orderbook"
    for path in sorted(folder.glob("*_L2*.parquet")):
        told = book_bars(read_book(path), 60 * SECOND)
        assert np.abs(told.columns["imbalance_deep"]).max() <= 1.0
        assert (told.columns["spread_bp"] > 0).all()
        assert (np.diff(told.known_at.view(np.int64)) % (60 * SECOND) == 0).all()
    with pytest.raises(DataError, match=r"depth100sum_5600ms.parquet has no levels \(bid_px_1"):
        read_book(folder / "BTCUSDT_spot_202606_depth100sum_5600ms.parquet")
    assert store_book(sorted(folder.glob("*_L2*.parquet"))[0], "1m", Store(tmp_path))[0].name == "BTCUSDT-book-1m"


def test_a_bar_without_a_snapshot_is_unknown_not_the_last_one(tmp_path):
    book = book_of([(100, 5, 101, 5), (100, 6, 101, 5)], step_ns=SECOND // 4, start="2020-01-01T00:59:59")
    store = Store(tmp_path)
    store.keep_values(book_bars(replace(book, symbol="RANDOM-0"), 3600 * SECOND), "book")
    from engine.synthetic import random_bars

    bars = with_context(random_bars(3), NAMES, tmp_path)
    known = np.isfinite(np.stack(list(bars.context.values())))
    assert known.tolist() == [[True, False, False]] * 6
    assert as_of(random_bars(3), store.load_values("RANDOM-0-book-1h"))["RANDOM-0-book-1h.age_hours"].tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("change", ["size", "time", "order"])
def test_what_is_no_book_is_refused(change):
    at = BY_HAND.known_at
    wrong = {
        "size": {"bid_size": BY_HAND.bid_size[:3]},
        "time": {"known_at": at[:3]},
        "order": {"known_at": at[::-1].copy()},
    }[change]
    said = {"size": "bid_size has shape", "time": "3 times were given for 5", "order": "snapshot 1 of HAND goes back"}
    with pytest.raises(DataError, match=said[change]):
        replace(BY_HAND, **wrong)


def test_the_verb_stores_a_book_and_says_who_reads_it(shared_data, tmp_path):
    path = shared_data / "orderbook" / "ETHUSDT_usdm_20240808_L2top20_100ms.parquet"
    asked = ["book", str(path), "--timeframe", "10s", "--latency-ms", "250", "--data", str(tmp_path)]
    done = CliRunner().invoke(research_app, asked)
    assert "stored ETHUSDT-book-10s: the features of 10s bars that read a book will find it" in done.stdout
    kept = Store(tmp_path).load_values("ETHUSDT-book-10s")
    late = book_bars(read_book(path, latency_ns=250_000_000), 10 * SECOND)
    assert np.array_equal(kept.known_at, late.known_at)
    assert not np.array_equal(kept.columns["ofi"], book_bars(read_book(path), 10 * SECOND).columns["ofi"])
    with pytest.raises(UsageError, match="does not exist; name the Parquet file of a recorded book"):
        CliRunner().invoke(research_app, ["book", str(tmp_path / "no.parquet")], catch_exceptions=False)


def write_book(path, seconds):
    """Write a file of one snapshot a second from 00:00:30 on."""
    import pandas as pd

    at = pd.date_range("2024-08-08T00:00:30", periods=seconds, freq="s", tz="UTC")
    pd.DataFrame({"timestamp": at, "bid_px_1": 100.0, "bid_sz_1": 2.0, "ask_px_1": 101.0, "ask_sz_1": 1.0}).to_parquet(
        path
    )


def test_a_bar_recorded_in_part_is_told_and_one_never_whole_is_refused(tmp_path):
    path = tmp_path / "HAND_L2.parquet"
    write_book(path, 9 * 60)
    done = CliRunner().invoke(research_app, ["book", str(path), "--data", str(tmp_path / "data")])
    assert done.stderr == "recorded in part only: 2 bars at the ends of the recording\n"
    refused = ["book", str(path), "--timeframe", "1d", "--data", str(tmp_path / "no")]
    said = "no whole bar of 1d: it was recorded from 2024-08-08T00:00 to 2024-08-08T00:09; state a shorter --timeframe"
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(research_app, refused, catch_exceptions=False)
    assert not (tmp_path / "no").exists()


def test_five_seconds_at_either_end_are_forgiven():
    book = book_of([(100, 5, 101, 5)] * 51, step_ns=SECOND, start="2020-01-01T00:00:04")
    close = np.array(["2020-01-01T00:01:00"], "datetime64[ns]")
    assert partly_recorded(book, close, 60 * SECOND) == 0
    assert [partly_recorded(part, close, 60 * SECOND) for part in (cut(book, 1, 51), cut(book, 0, 50))] == [1, 1]


def cut(book, first, last):
    names = ("known_at", "bid_price", "bid_size", "ask_price", "ask_size")
    return replace(book, **{name: getattr(book, name)[first:last] for name in names})


@pytest.mark.parametrize(
    ("name", "timeframe", "said"),
    [
        ("HAND.csv", "1m", "HAND.csv is no Parquet file"),
        ("HAND.parquet", "7z", "--timeframe '7z' was not understood; write 1s to 99s, or a number and m, h, d or w"),
    ],
)
def test_what_the_verb_cannot_read_is_one_line(tmp_path, name, timeframe, said):
    path = tmp_path / name
    write_book(path, 60) if name.endswith("parquet") else path.write_text("timestamp,bid_px_1\n1,2\n")
    with pytest.raises((DataError, UsageError), match=said):
        CliRunner().invoke(
            research_app, ["book", str(path), "--timeframe", timeframe, "--data", str(tmp_path)], catch_exceptions=False
        )
