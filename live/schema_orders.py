"""The tables of trading at an exchange: what was sent and came back (one file per symbol), and the account's states.

Every table is append-only; ``at`` is our clock, ``time`` the exchange's, both in nanoseconds since 1970.
A ledger file holds `live.schema.TABLES`, these ``ORDER_TABLES`` among them; ``account.db`` beside it holds
``ACCOUNT_TABLES``. Readers may open either while the bot runs (``file:...?mode=ro``).

``receipts``       when a final candle arrived, when its decision was written, and the hash of the candle
``intents``        what is about to be asked of the exchange, written before it is sent: ``act`` is send or cancel
``acks``           what the exchange said of an order, as often as it said something new; ``status`` is one of
                   `live.broker.STATUSES`; ``message`` why it was refused, or ``never arrived``
``exchange_fills`` fills as the exchange reports them; ``client_id`` and ``leg`` are empty for fills that are not ours
``adoptions``      what a person declared not to be the bot's: units, and ids of orders (JSON list)
``events``         what a person should know: kinds are in `KINDS`
``states``         ACTIVE, REDUCING (exits only) or HALTED (nothing is sent) per symbol (``''``: the whole account)
                   and cause; ``until`` is when it ends by itself, or NULL
``commands``       what a person asked of a running bot; ``answers`` what came of it
``equities``       worth of the account, at every close
"""

from __future__ import annotations

ORDER_TABLES = {
    "receipts": "open_time INTEGER PRIMARY KEY, arrived INTEGER, decided INTEGER, hash TEXT",
    "intents": """number INTEGER PRIMARY KEY, at INTEGER, act TEXT, client_id TEXT, leg TEXT, wish_time INTEGER,
    side INTEGER, quantity REAL, kind TEXT, price REAL, reduce_only INTEGER, list_id TEXT""",
    "acks": """number INTEGER PRIMARY KEY, at INTEGER, client_id TEXT, order_id TEXT, status TEXT, filled REAL,
    average REAL, message TEXT""",
    "exchange_fills": """trade_id TEXT PRIMARY KEY, at INTEGER, time INTEGER, order_id TEXT, client_id TEXT, leg TEXT,
    wish_time INTEGER, side INTEGER, quantity REAL, price REAL, fee REAL, fee_currency TEXT""",
    "adoptions": "number INTEGER PRIMARY KEY, at INTEGER, quantity REAL, orders TEXT, reason TEXT",
    "events": "number INTEGER PRIMARY KEY, at INTEGER, open_time INTEGER, kind TEXT, message TEXT",
}

ACCOUNT_TABLES = {
    "account": "id TEXT PRIMARY KEY, exchange TEXT, mode TEXT, fingerprint TEXT",
    "starts": "number INTEGER PRIMARY KEY, at INTEGER, pid INTEGER, code TEXT",
    "states": """number INTEGER PRIMARY KEY, at INTEGER, symbol TEXT, state TEXT, cause TEXT, reason TEXT,
    until INTEGER""",
    "commands": "number INTEGER PRIMARY KEY, at INTEGER, symbol TEXT, command TEXT, reason TEXT",
    "answers": "command INTEGER PRIMARY KEY, at INTEGER, text TEXT",
    "equities": "number INTEGER PRIMARY KEY, at INTEGER, equity REAL",
    "events": "number INTEGER PRIMARY KEY, at INTEGER, symbol TEXT, kind TEXT, message TEXT",
}

CANDLE_CHANGED, MISSED, DIFFERENCE, UNEXPLAINED = "candle changed", "entry missed", "difference", "unexplained"
REFUSED, STATE, ADOPTED, FAILED, STARTED, STOPPED = "refused", "state", "adopted", "failed", "started", "stopped"
WAITING = "waiting"
KINDS = (
    CANDLE_CHANGED,
    MISSED,
    DIFFERENCE,
    UNEXPLAINED,
    REFUSED,
    STATE,
    ADOPTED,
    FAILED,
    STARTED,
    STOPPED,
    WAITING,
)
