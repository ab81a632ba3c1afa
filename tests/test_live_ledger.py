"""The ledger: what is written stays, comes back bit for bit, and belongs to one bot."""

from __future__ import annotations

import math
import os
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError, SettingsError
from engine.rules import FillRules, Rules
from engine.simulate import TRADE_DTYPE
from engine.terms import Account, Holding
from live.ledger import BarRecord
from live.schema import (
    KEYS,
    NOT_KEPT,
    TABLES,
    account_from,
    account_row,
    bar_rows,
    bars_from,
    statements,
    trade_rows,
    trades_from,
)
from tests.live_desk import BARS, RULES, backtest, facts, identity, open_ledger, trade_on

NUMBERS = st.floats(allow_nan=False).map(lambda x: x + 0.0)  # a zero's sign is lost and means nothing
WHOLES = st.integers(-(2**63), 2**63 - 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A ledger of 160 bars, closed."""
    path = tmp_path_factory.mktemp("ledger") / "bot.db"
    with open_ledger(path) as ledger:
        trade_on(ledger)
    return path


def columns(path, table):
    return [row[1] for row in sqlite3.connect(path).execute(f"PRAGMA table_info({table})")]


def through_sqlite(table, rows):
    database = sqlite3.connect(":memory:", isolation_level=None)
    for statement in statements():
        database.execute(statement)
    for row in rows:
        database.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    return database.execute(f"SELECT * FROM {table}").fetchall()


def bits(values):
    return [np.float64(v).tobytes() if isinstance(v, float) else v for v in values]


@settings(max_examples=100, deadline=None)
@given(st.builds(Holding, WHOLES, *[NUMBERS] * 5, WHOLES, NUMBERS, WHOLES, WHOLES), st.tuples(*[NUMBERS] * 3), WHOLES)
def test_an_account_comes_back_bit_for_bit(holding, money, time):
    account = Account(money[0], money[1], time, 1, money[2], holding)
    (row,) = through_sqlite("accounts", [account_row(account)])
    back = account_from(row)
    assert bits(back[:5]) == bits(account[:5])
    assert bits(back.holding) == bits(holding)


def test_an_unknown_number_comes_back_unknown():
    (row,) = through_sqlite("accounts", [account_row(Account(1.0, math.nan))])
    assert row[2] is None
    assert math.isnan(account_from(row).equity)


def test_bars_come_back_bit_for_bit():
    back = bars_from(through_sqlite("bars", bar_rows(BARS)), BARS.timeframe_ns, BARS.symbol, BARS.sessions)
    assert back.fingerprint() == BARS.fingerprint()


def test_what_was_known_beside_bars_comes_back_bit_for_bit():
    half = np.where(np.arange(len(BARS)) % 2 == 0, 0.1 + BARS.close, np.nan)
    bars = BARS.beside({"vix_level": half, "funding_8h": -half})
    back = bars_from(through_sqlite("bars", bar_rows(bars)), bars.timeframe_ns, bars.symbol, bars.sessions)
    assert back.fingerprint() == bars.fingerprint()


def test_trades_come_back_bit_for_bit():
    trades = backtest().result.trades
    back = trades_from(through_sqlite("trades", trade_rows(trades)))
    for name in set(TRADE_DTYPE.names) - set(NOT_KEPT):
        np.testing.assert_array_equal(back[name], trades[name])
    assert len(back) > 10


def test_columns_are_the_engines_fields(written):
    account = ["open_time" if name == "time" else name for name in ("time", "cash", "equity", "wish", "wish_atr")]
    assert columns(written, "accounts") == [*account, *Holding._fields]
    assert set(Account._fields) == {"time", "cash", "equity", "wish", "wish_atr", "holding"}
    assert columns(written, "trades") == [name for name in TRADE_DTYPE.names if name not in NOT_KEPT]


@pytest.mark.parametrize("table", TABLES)
def test_nothing_written_is_ever_changed_or_deleted(written, table):
    database = sqlite3.connect(written)
    names = columns(written, table)
    marks = ",".join("?" * len(names))
    if not database.execute(f"SELECT * FROM {table}").fetchone():  # written only when something goes wrong or is sent
        database.execute(f"INSERT INTO {table} VALUES ({marks})", [1] * len(names))
    row = database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    for statement, given_row in (
        (f"UPDATE {table} SET {KEYS[table]} = {KEYS[table]}", ()),
        (f"DELETE FROM {table}", ()),
        (f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row),
        (f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row),
    ):
        with pytest.raises(sqlite3.IntegrityError, match=f"the ledger is append-only: {table}"):
            database.execute(statement, given_row)
    database.close()


def test_a_bar_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "bot.db"
    with open_ledger(path) as ledger:
        bot = trade_on(ledger, BARS[:20])
        before = facts(path)
        stale = BarRecord(BARS[20:21], backtest(BARS[:21]).signals[-1:], bot.account, [], backtest().result.trades[:0])
        with pytest.raises(DataError, match=r"ledger .*bot.db refused a row \(the ledger is append-only: accounts\)"):
            ledger.write(stale)  # the account is of an older bar
        assert facts(path) == before


def test_the_same_bot_may_come_back(written):
    rows = facts(written)
    open_ledger(written).close()
    assert facts(written) == rows


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ({"profile": "reckless"}, "STRATEGY_PROFILE was momentum, is reckless"),
        ({"confidence": "probability"}, "BOT_CONFIDENCE was rank, is probability"),
        ({"bundle_hash": "1" * 64}, "BOT_BUNDLE was the one of hash 000000000000, is the one of hash 111111111111"),
        ({"rules": replace(RULES, fee=0.002)}, "BOT_FEE was 0.001, is 0.002"),
        ({"rules": replace(RULES, cash=5.0, k_up=2.0)}, "k_up was 1.5, is 2.0; BOT_CASH was 10000.0, is 5.0"),
        ({"first": 1}, "BOT_REPLAY_FROM was 2020-01-01T01:00, is 2020-01-01T02:00"),
    ],
)
def test_another_bot_is_turned_away_with_the_settings_that_differ(written, who, says):
    with pytest.raises(SettingsError) as caught:
        open_ledger(written, **who)
    assert str(caught.value) == (
        f"name another BOT_LEDGER for a new bot, or restore the settings of the one that {written} belongs to: {says}"
    )


def test_each_fill_rule_is_part_of_who_the_bot_is():
    usual = FillRules()._asdict()
    other = {identity(rules=Rules(fills=FillRules(**usual | {name: not usual[name]}))).id for name in usual}
    assert len(other | {identity(rules=Rules()).id}) == len(FillRules._fields) + 1


def test_two_bots_never_share_a_ledger(tmp_path):
    path = tmp_path / "bot.db"
    with open_ledger(path), pytest.raises(SettingsError) as caught:
        open_ledger(path)
    assert str(caught.value) == (
        f"BOT_LEDGER: {path} is in use by process {os.getpid()}, one bot per ledger;"
        " stop that bot or set another BOT_LEDGER"
    )
    open_ledger(path).close()  # free again


def test_others_may_read_while_the_bot_writes(tmp_path):
    with open_ledger(tmp_path / "bot.db") as ledger:
        trade_on(ledger, BARS[:30])
        assert len(facts(ledger.path)["decisions"]) == 30


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(SettingsError, match=r"notes.db is a database of something else; set another BOT_LEDGER"):
        open_ledger(path)


def test_a_newer_ledger_is_left_alone(tmp_path):
    path = tmp_path / "bot.db"
    open_ledger(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(SettingsError, match="has schema 9, this code writes 2; set another BOT_LEDGER"):
        open_ledger(path)


def test_a_damaged_ledger_is_refused(tmp_path, written):
    path = tmp_path / "bot.db"
    whole = written.read_bytes()
    path.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
    with pytest.raises(DataError, match=r"bot.db is damaged \(.*\); keep it for a look and set another BOT_LEDGER"):
        open_ledger(path)
    path.write_bytes(b"once upon a time " * 100)
    with pytest.raises(DataError, match="damaged"):
        open_ledger(path)


def test_a_ledger_out_of_reach_says_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"BOT_LEDGER: .*cannot be written: .*set another BOT_LEDGER"):
        open_ledger(tmp_path / "file" / "bot.db")


def test_a_full_disk_stops_the_bot_between_bars(tmp_path):
    path = tmp_path / "bot.db"

    class Full(sqlite3.Connection):
        def executemany(self, statement, rows):
            if "accounts" in statement:
                raise sqlite3.OperationalError("database or disk is full")
            return super().executemany(statement, rows)

    ledger = open_ledger(path, lambda *a, **k: sqlite3.connect(*a, **k, factory=Full))
    with ledger, pytest.raises(SettingsError, match=r"cannot be used \(database or disk is full\); make room"):
        trade_on(ledger)
    assert facts(path)["bars"] == []
