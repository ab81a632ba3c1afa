"""Bugs a careless hand could write: each a few lines of one file, and the tests that must notice."""

from __future__ import annotations

from typing import NamedTuple


class Planted(NamedTuple):
    """One bug.

    Parameters
    ----------
    name : str
        What it does to a user, in a few words.
    file : str
        Where, from the project's root.
    old, new : str
        Lines as they stand, which occur there once, and as they would have been written.
    tests : tuple of str
        pytest's node ids; every one of them must turn red. Narrow ones, they run as plain Python.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


DATA_AND_FEATURES = (
    Planted(
        "a return is known before it is earned",
        "engine/readings.py",
        "np.log(close[lag:] / close[:-lag], out=out[lag:])",
        "np.log(close[lag:] / close[:-lag], out=out[:-lag])",
        ("tests/test_features.py::test_another_future_leaves_the_past_as_it_was[ret_1]",),
    ),
    Planted(
        "volume is measured against the mean of the whole history",
        "engine/readings.py",
        "    out = _measured(logs - mean, deviation)\n",
        "    out = _measured(logs - np.nanmean(logs), deviation)\n",
        ("tests/test_features.py::test_another_future_leaves_the_past_as_it_was[volume_z_24]",),
    ),
    Planted(
        "a session that goes on is taken for one that is over",
        "engine/history/resample.py",
        "        over[-1] = bars.close_time[-1].astype(np.int64) == opens[-1] + coarse_ns\n",
        "",
        ("tests/test_resample.py::test_a_session_is_over_when_the_next_one_begins",),
    ),
    Planted(
        "a recursion is not anchored: it remembers where the file begins",
        "engine/indicators/anchored.py",
        "            current, fresh, block = fresh, NEW, blocks[i]\n",
        "            fresh, block = NEW, blocks[i]\n",
        ("tests/test_features.py::test_memory_is_enough[random-atr_ratio]",),
    ),
    Planted(
        "validation begins the bar after development",
        "engine/zones.py",
        "    starts = (0, cut[0] + embargo, cut[1] + embargo)\n",
        "    starts = (0, cut[0], cut[1])\n",
        ("engine/zones.py::engine.zones.Zones",),
    ),
    Planted(
        "the day is known before it is over",
        "engine/coarse.py",
        'place = np.searchsorted(ends, closed, side="right") - 1',
        'place = np.searchsorted(ends - coarse_ns, closed, side="right") - 1',
        ("tests/test_coarse.py::test_a_coarse_bar_under_way_tells_nothing",),
    ),
    Planted(
        "a closed window keeps a share of the level",
        "engine/indicators/fractional.py",
        "        weights[-1] -= weights.sum()\n",
        "        pass\n",
        ("tests/test_ffd.py::test_a_closed_window_of_prices_is_a_weighing_of_its_returns[0.4]",),
    ),
    Planted(
        "the order of differencing is chosen on all bars",
        "research/choose_d.py",
        "    train, tried = whole & (np.arange(len(bars)) < stop), []\n",
        "    train, tried = whole.copy(), []\n",
        ("tests/test_ffd.py::test_the_order_is_chosen_on_training_bars_alone",),
    ),
    Planted(
        "a session is known on the morning of its date",
        "engine/history/context.py",
        'days.known_at(bars.open_time.astype("datetime64[D]"))',
        "bars.open_time",
        ("tests/test_context.py::test_a_session_is_known_at_its_close_by_new_yorks_clock",),
    ),
    Planted(
        "a snapshot of the close belongs to the next bar",
        "research/orderbook.py",
        "    slot = (book.known_at.view(np.int64) - 1) // timeframe_ns\n",
        "    slot = book.known_at.view(np.int64) // timeframe_ns\n",
        ("tests/test_orderbook.py::test_a_bar_is_made_of_the_snapshots_up_to_its_close_and_none_later",),
    ),
    Planted(
        "the bot's ledger forgets what was known beside its bars",
        "live/schema.py",
        "    if not bars.context:\n",
        "    if True:\n",
        ("tests/test_live_ledger.py::test_what_was_known_beside_bars_comes_back_bit_for_bit",),
    ),
)

FILLS = (
    Planted(
        "a wish is filled at the close that decided it",
        "engine/trading.py",
        "_enter(prices.open[row], wish, atr, cash, terms, (before, time[row]))",
        "_enter(close[row - ONE], wish, atr, cash, terms, (before, time[row]))",
        ("tests/test_simulate.py::test_a_wish_is_filled_at_the_next_open_and_never_in_its_own_bar",),
    ),
    Planted(
        "a label enters in the bar that decided it",
        "engine/barriers.py",
        "        opened = prices.open[entry]\n",
        "        opened = prices.open[row]\n",
        ("tests/test_barriers.py::test_barriers_hang_on_the_open_of_entry_and_the_atr_before_it",),
    ),
    Planted(
        "where both barriers are touched the target came first",
        "engine/barriers.py",
        "(stopped and not settled and (stop_leads or not reached))",
        "(stopped and not settled and not reached)",
        ("tests/test_barriers.py::test_how_one_bar_fills",),
    ),
    Planted(
        "a gap through the stop fills at the stop",
        "engine/barriers.py",
        "opened if beyond_stop and fills.stop_gap_at_open else stop, STOP",
        "stop, STOP",
        ("tests/test_barriers.py::test_how_one_bar_fills",),
    ),
    Planted(
        "a short's stop lies below its entry",
        "engine/barriers.py",
        "    return opened + side * k_up * atr, opened - side * k_down * atr\n",
        "    return opened + side * k_up * atr, opened - k_down * atr\n",
        ("engine/barriers.py::engine.barriers.bracket",),
    ),
    Planted(
        "a trade is held one bar longer than agreed",
        "engine/barriers.py",
        "    due = first + max(hold - age, 0)\n",
        "    due = first + max(hold - age, 0) + 1\n",
        (
            "tests/test_barriers.py::test_when_the_clock_ends_a_trade",
            "tests/test_simulate.py::test_the_time_exit_frees_its_own_close_but_not_the_one_before",
        ),
    ),
    Planted(
        "a trade the bars did not end is closed on the last of them",
        "engine/barriers.py",
        "        return n, np.nan, OPEN, False\n",
        "        return n - 1, prices.open[n - 1], TIME, False\n",
        ("tests/test_simulate.py::test_a_trade_open_at_the_end_is_marked_and_kept_apart",),
    ),
    Planted(
        "a wish is filled after a gap nobody could trade",
        "engine/trading.py",
        "            if fills.wish_lapses_at_gap and time[row] - before > terms.longest_step_ns:\n",
        "            if False:\n",
        ("tests/test_simulate.py::test_a_wish_lapses_when_the_next_bar_is_missing",),
    ),
)

MONEY = (
    Planted(
        "the fee of the entry is lost",
        "engine/trading.py",
        "                cash -= held.side * held.units * held.entry_price + held.entry_fee\n",
        "                cash -= held.side * held.units * held.entry_price\n",
        ("tests/test_simulate.py::test_buy_and_hold_is_the_price_ratio_less_two_fees",),
    ),
    Planted(
        "the target pays the taker's fee",
        "engine/barriers.py",
        "        return level, terms.maker_fee\n",
        "        return level, terms.fee\n",
        ("tests/test_barriers.py::test_the_target_is_a_maker_order_without_slippage_and_the_stop_is_not",),
    ),
    Planted(
        "slippage improves the exit",
        "engine/barriers.py",
        "    return level * (1.0 - side * terms.slippage), terms.fee\n",
        "    return level * (1.0 + side * terms.slippage), terms.fee\n",
        ("tests/test_barriers.py::test_the_target_is_a_maker_order_without_slippage_and_the_stop_is_not",),
    ),
    Planted(
        "slippage improves the entry",
        "engine/trading.py",
        "    price = opened * (1.0 + side * terms.slippage)\n",
        "    price = opened * (1.0 - side * terms.slippage)\n",
        ("tests/test_simulate.py::test_a_wish_is_filled_at_the_next_open_and_never_in_its_own_bar",),
    ),
    Planted(
        "funding is paid by shorts",
        "engine/simulate.py",
        "paid if funding is None else paid * bars.open",
        "paid if funding is None else -paid * bars.open",
        ("tests/test_simulate.py::test_funding_is_paid_by_longs_and_received_by_shorts_held_into_the_open",),
    ),
    Planted(
        "funding comes a bar late",
        "engine/funding.py",
        "    row = np.searchsorted(opens, moments)\n",
        '    row = np.searchsorted(opens, moments, side="right")\n',
        ("tests/test_funding.py::test_each_payment_is_due_at_the_first_open_from_its_minute_on",),
    ),
    Planted(
        "a stamp some milliseconds late is paid an open late",
        "engine/funding.py",
        "[known] // MINUTE_NS * MINUTE_NS, rates",
        "[known], rates",
        (
            "tests/test_funding.py::test_a_payment_two_milliseconds_late_is_due_at_its_open_and_one_a_minute_late_at_the_next",
        ),
    ),
    Planted(
        "bars that carry funding are not charged",
        "engine/simulate.py",
        "charged(bars) if funding is None",
        "None if funding is None",
        ("tests/test_funding.py::test_bars_that_pay_are_charged_as_the_slow_market_charges",),
    ),
    Planted(
        "a sweep does not charge what the bars carry",
        "engine/sweep/run.py",
        "    paid = charged(bars)\n",
        "    paid = funding\n",
        ("tests/test_funding.py::test_a_sweep_of_bars_that_pay_is_their_simulation",),
    ),
    Planted(
        "random shorts pay funding",
        "engine/funding.py",
        "labels.ret - side * (paid",
        "labels.ret - (paid",
        ("tests/test_funding.py::test_labelled_trades_earn_what_the_simulation_pays_out",),
    ),
    Planted(
        "random entries pay at the open of the entry",
        "engine/funding.py",
        "    since = np.append(paid[1:], np.nan)\n",
        "    since = paid\n",
        ("tests/test_funding.py::test_labelled_trades_earn_what_the_simulation_pays_out",),
    ),
    Planted(
        "an open random entry is marked before funding",
        "engine/random_entries.py",
        "gained - book.fee - funding",
        "gained - book.fee",
        ("tests/test_funding.py::test_a_random_draw_pays_what_the_simulation_says_it_pays",),
    ),
    Planted(
        "returns with funding and without are judged together",
        "strategies/ledgered.py",
        'funding {paid}" if paid else told',
        'funding {paid}" if paid is None else told',
        ("tests/test_funding.py::test_returns_with_funding_and_without_are_never_judged_together",),
    ),
    Planted(
        "a perpetual's stored funding is not joined",
        "strategies/workbench.py",
        "with_funding(bars, data_root) if is_perpetual(bars) or",
        "with_funding(bars, data_root) if",
        ("tests/test_funding.py::test_a_perpetual_and_a_bundle_that_goes_short_are_joined_with_stored_funding",),
    ),
    Planted(
        "funding is owed at the open of the entry",
        "engine/trading.py",
        "held.funding, held.bars > 0\n",
        "held.funding, True\n",
        ("tests/test_simulate.py::test_funding_is_paid_by_longs_and_received_by_shorts_held_into_the_open",),
    ),
    Planted(
        "days without a trade are left out of the statistics",
        "engine/score.py",
        '    return day[:n].astype("M8[D]"), ret[:n], float(depth), length / DAY_NS\n',
        '    return day[:n][ret[:n] != 0.0].astype("M8[D]"), ret[:n][ret[:n] != 0.0], float(depth), length / DAY_NS\n',
        ("tests/test_score.py::test_days_without_bars_count_where_the_market_never_closes",),
    ),
    Planted(
        "a year of sessions has 365 days",
        "engine/bars.py",
        "        if not self.sessions:\n            return 365\n",
        "        if True:\n            return 365\n",
        ("tests/test_score.py::test_a_year_of_sessions_has_252_days",),
    ),
    Planted(
        "trials that failed were never tried",
        "engine/trials.py",
        'from trials where data = ?"',
        "from trials where data = ? and status = 'ok'\"",
        ("tests/test_trials.py::test_the_same_configuration_counts_once_and_a_failed_one_counts_too",),
    ),
)

LEARNING = (
    Planted(
        "a label no bar has decided yet counts as a loss",
        "research/events.py",
        "    y[labels.end < 0] = np.nan\n",
        "",
        ("tests/test_research_training.py::test_trades_that_time_out_are_labelled_as_asked[zero]",),
    ),
    Planted(
        "labels that overlap what is held out may train",
        "research/splits.py",
        "        keep &= (end < first) | (start > last + embargo)\n",
        "        keep &= (start < first) | (start > last + embargo)\n",
        ("tests/test_research_splits.py::test_no_training_label_shares_a_bar_with_a_held_out_one",),
    ),
    Planted(
        "the walk-forward trains on labels that end in its test",
        "research/splits.py",
        "        past = rows[(rows < first) & (end[rows] < first - embargo)]\n",
        "        past = rows[rows < first - embargo]\n",
        ("tests/test_research_splits.py::test_time_runs_from_training_over_inner_validation_to_the_fold",),
    ),
    Planted(
        "a pool's other markets teach what was still to come at home",
        "research/study.py",
        " & (self.place[self.examples.end[there]] <= last)",
        "",
        ("tests/test_research_pooled.py::test_no_market_teaches_what_was_not_over_when_the_later_rows_began",),
    ),
    Planted(
        "a search's other markets tell what is held out at home",
        "research/tuning.py",
        "    return rows[(end < first) | (start > last + study.config.embargo)]\n",
        "    return rows\n",
        ("tests/test_research_pooled_tune.py::test_a_twin_in_the_pool_tells_no_held_out_label",),
    ),
    Planted(
        "a short trade ends when the long one does",
        "research/events.py",
        "short.ret, np.where(end >= 0, np.maximum(end, short.end), -1)",
        "short.ret, end",
        ("tests/test_research_scope.py::test_no_trade_of_either_side_that_counts_has_seen_a_sealed_bar",),
    ),
    Planted(
        "the scaler has seen every bar",
        "research/fit_logistic.py",
        "    mean, deviation = moments(examples.lagged(split.train, (0,)))\n",
        "    mean, deviation = moments(examples.matrix[np.isfinite(examples.matrix).all(axis=1)])\n",
        ("tests/test_research_scope.py::test_a_candidate_is_made_of_its_training_rows_and_their_scale[logistic]",),
    ),
    Planted(
        "the regimes are scaled by bars to come",
        "research/fit_regime.py",
        "    mean, std = matrix[known].mean(axis=0), matrix[known].std(axis=0)\n",
        "    mean, std = np.nanmean(matrix, axis=0), np.nanstd(matrix, axis=0)\n",
        ("tests/test_research_scope.py::test_a_regime_is_made_of_the_bars_before_its_fence",),
    ),
    Planted(
        "confidence is measured where the model was fitted",
        "research/assemble.py",
        "    rows = study.predictable(study.validation)\n    told =",
        "    rows = study.predictable(study.development)\n    told =",
        ("tests/test_research_scope.py::test_confidence_is_measured_on_the_validation_zone",),
    ),
    Planted(
        "the auditor learns from the trades it will audit",
        "research/walk_forward.py",
        "before(int(forecast.rows[0]) - study.config.embargo)",
        "before(int(forecast.rows[-1]))",
        ("tests/test_research_scope.py::test_an_auditor_learns_from_trades_that_were_over_before_its_fold",),
    ),
)

MODELS = (
    Planted(
        "the regime is smoothed: bars to come change what was believed",
        "models/regime.py",
        "        out[~known] = np.nan\n",
        "        likelihood = self.log_likelihood(seen)[::-1]\n"
        "        out *= hmm_filter(self.start, self.transition, likelihood, np.zeros(len(out), np.int64))[::-1]\n"
        "        out /= out.sum(axis=1, keepdims=True)\n"
        "        out[~known] = np.nan\n",
        ("tests/test_regime.py::test_what_comes_later_does_not_change_what_was_believed",),
    ),
    Planted(
        "regimes are told apart by their number, not by their volatility",
        "models/regime.py",
        '        order = np.argsort(volatility, kind="stable")\n',
        "        order = np.arange(len(volatility))\n",
        ("tests/test_regime.py::test_the_order_of_a_fit_does_not_matter",),
    ),
    Planted(
        "a gate adds a trade",
        "strategies/base.py",
        "            side=np.where(reason == WISH, proposed, np.int8(0)).astype(np.int8),\n",
        "            side=np.where(np.all([proposed < 2, *verdicts.values()], axis=0), evidence.lean, np.int8(0)),\n",
        ("tests/test_strategies.py::test_each_row_says_why",),
    ),
    Planted(
        "what the auditor does not know, it allows",
        "strategies/gates.py",
        "        return np.asarray(evidence.audit >= least)  # NaN is no\n",
        "        return np.asarray(~(evidence.audit < least))\n",
        ("tests/test_strategies.py::test_each_row_says_why",),
    ),
    Planted(
        "a window that reaches across a gap is predicted",
        "models/evidence.py",
        " & (run >= bundle.clear_bars)",
        "",
        ("tests/test_bundles.py::test_nothing_is_predicted_until_enough_bars_have_followed_a_gap",),
    ),
    Planted(
        "bars that the last part to be fitted has seen count as unseen",
        "models/manifest.py",
        "        return np.max(np.array([fence.label_horizon_end",
        "        return np.min(np.array([fence.label_horizon_end",
        ("tests/test_bundles.py::test_the_latest_fence_counts",),
    ),
)

LIVE = (
    Planted(
        "a bot decides on one bar too few",
        "live/bot.py",
        "        self._kept = max(strategy.memory - 1, 1)\n",
        "        self._kept = max(strategy.memory - 2, 1)\n",
        ("tests/test_live_bot.py::test_the_bot_wants_at_each_close_what_the_backtest_wanted",),
    ),
    Planted(
        "a restarted bot remembers one bar too few",
        "live/bot.py",
        "        self._seen = ledger.seen(self._kept)\n",
        "        self._seen = ledger.seen(self._kept - 1)\n",
        ("tests/test_live_bot.py::test_restarts_change_nothing",),
    ),
    Planted(
        "a bot told twice of a close decides twice",
        "live/bot.py",
        "        return self._decide(window, fresh, receipt) if fresh else None\n",
        "        return self._decide(window, fresh or 1, receipt)\n",
        ("tests/test_live_bot.py::test_deciding_twice_is_deciding_once",),
    ),
    Planted(
        "the ledger holds half a bar after a kill",
        "live/ledger.py",
        '            self.file.insert("decisions", [decision_row(time, record.signals)])\n',
        '            self.file.insert("decisions", [decision_row(time, record.signals)])\n'
        "        with self.file.transaction():\n",
        ("tests/test_live_ledger.py::test_a_bar_is_written_whole_or_not_at_all",),
    ),
    Planted(
        "a file is half written when the machine stops",
        "engine/history/atomic.py",
        "    os.replace(part, path)\n",
        "    path.write_bytes(content)\n",
        ("tests/test_store.py::test_whoever_is_killed_at_any_step_leaves_the_old_or_the_new",),
    ),
    Planted(
        "two trades share the name of an order",
        "live/orders.py",
        "(bot, symbol, str(int(wish_time)), leg)",
        "(bot, symbol, leg)",
        ("tests/test_live_bot.py::test_order_ids_are_functions_of_bot_market_bar_and_leg",),
    ),
    Planted(
        "an order whose answer was lost is sent again unasked",
        "live/follow.py",
        "    if unanswered:\n",
        "    if False:\n",
        ("tests/test_live_follow.py::test_an_order_whose_answer_was_lost_is_asked_for_before_anything_else",),
    ),
    Planted(
        "an order is tried again and given up before it can arrive",
        "live/journal.py",
        "        self.orders[client_id] = self.orders[client_id]._replace(at=at)\n",
        "",
        (
            "tests/test_live_at_risk.py::"
            "test_an_order_that_was_turned_away_first_is_given_time_to_arrive_from_its_last_try",
        ),
    ),
    Planted(
        "a lost answer is asked for as fast as the exchange can say no",
        "live/desk.py",
        "                break  # it was asked for just now: a while later there may be news\n",
        "                pass\n",
        ("tests/test_live_faults.py::test_an_order_whose_answer_is_lost_is_asked_for_and_not_hammered_for",),
    ),
    Planted(
        "a day's loss is noticed five minutes and an entry later",
        "live/runner.py",
        "        desk.office.weigh(worth)  # what was lost since the account was last weighed bars this entry\n",
        "",
        ("tests/test_live_faults.py::test_what_was_lost_bars_the_very_next_entry",),
    ),
    Planted(
        "a clock that was off at the start is believed for a minute",
        "live/runner.py",
        "            self.time.ask()\n",
        "            if not self.time.ask():\n                return\n",
        ("tests/test_live_faults.py::test_a_clock_that_is_off_at_the_start_lets_nothing_in",),
    ),
    Planted(
        "an entry is sent on bars that are late",
        "live/limits.py",
        "    if next_close and late > limits.stale_s:\n",
        "    if next_close and late > 9 * limits.stale_s:\n",
        ("tests/test_live_faults.py::test_nothing_is_entered_on_bars_that_are_late",),
    ),
    Planted(
        "after a silence a position waits a minute for its protection",
        "live/runner.py",
        "min(0.5 * 2 ** min(desk.silent, 7), self.office.poll_ns / SECOND_NS)",
        "0.5 * 2 ** min(desk.silent, 7)",
        ("tests/test_live_faults.py::test_after_a_silence_the_protection_comes_within_a_poll",),
    ),
    Planted(
        "an order is written down after it was sent",
        "live/hand.py",
        "        self.journal.intend(action.requests, action.legs, action.wish_time, action.list_id)\n"
        "        if action.list_id:\n",
        "        if len(action.requests) == 1:\n"
        "            self.broker.send(action.requests[0])\n"
        "        self.journal.intend(action.requests, action.legs, action.wish_time, action.list_id)\n"
        "        if len(action.requests) == 1:\n"
        "            return\n"
        "        if action.list_id:\n",
        ("tests/test_live_faults.py::test_no_order_stands_twice_however_it_is_lost[reset_after-1]",),
    ),
    Planted(
        "a missed entry is made up for later",
        "live/follow.py",
        "    late = view.now - view.closed > manner.late_ns\n",
        "    late = False\n",
        ("tests/test_live_follow.py::test_an_entry_that_cannot_be_says_why_and_nothing_is_sent",),
    ),
    Planted(
        "a stop is touched before the simulated one",
        "live/wanted.py",
        "on_grid(want.stop, tick, up=want.side < 0)",
        "on_grid(want.stop, tick, up=want.side > 0)",
        ("tests/test_live_follow.py::test_rounding_never_stops_earlier_nor_takes_more_profit_than_simulated",),
    ),
    Planted(
        "a bar is traded on before the exchange has begun the next",
        "live/candles.py",
        "if row.final and (newest > row.open_time or clock >= row.open_time + self.timeframe_ns + SETTLED_NS)",
        "if row.final",
        ("tests/test_live_paper.py::test_a_bar_counts_only_when_the_exchange_has_begun_the_next",),
    ),
    Planted(
        "money is traded without a word about the account",
        "live/gate.py",
        "    if settings.confirm != account:\n",
        "    if settings.confirm and settings.confirm != account:\n",
        ("tests/test_live_gate.py::test_what_is_missing_is_said_at_once",),
    ),
)

PLANTED = DATA_AND_FEATURES + FILLS + MONEY + LEARNING + MODELS + LIVE
