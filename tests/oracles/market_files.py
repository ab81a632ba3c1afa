"""Market files as exchanges and tools write them, written by pandas."""

import gzip
import io
import zipfile

import pandas as pd

CAPITALS = ("Open", "High", "Low", "Close", "Volume")
BINANCE_UNUSED = ("quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore")


def frame(bars):
    """Bars as this project's table: timestamp index and five columns."""
    table = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(table, index=pd.DatetimeIndex(bars.open_time, tz="UTC", name="timestamp"))


def epochs(bars, unit):
    return bars.open_time.astype(f"datetime64[{unit}]").astype("int64")


def ccxt(bars, header):
    table = frame(bars).reset_index(drop=True)
    table.insert(0, "timestamp", epochs(bars, "ms"))
    return table.to_csv(index=False, header=header)


def binance(bars, unit, header):
    table = frame(bars).reset_index(drop=True)
    table.insert(0, "open_time", epochs(bars, unit))
    table["close_time"] = epochs(bars, unit) + bars.timeframe_ns // {"ms": 10**6, "us": 10**3}[unit] - 1
    for name in BINANCE_UNUSED:
        table[name] = 0
    return table.to_csv(index=False, header=header)


def capitals(bars, index):
    table = frame(bars)
    table.columns = CAPITALS
    table.index = table.index.tz_localize(None)
    table.index.name = index
    table.insert(4, "Adj Close", table["Close"] * 0.5)
    return table


def yfinance_two_headers(bars):
    table = capitals(bars, "Datetime")
    lines = table.to_csv().splitlines()
    width = len(table.columns)
    head = ["Price," + ",".join(table.columns), "Ticker" + ",SPY" * width, "Datetime" + "," * width]
    return "\n".join(head + lines[1:]) + "\n"


def zipped(text):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", text)
    return sink.getvalue()


def table_bytes(table, how):
    sink = io.BytesIO()
    getattr(table, how)(sink)
    return sink.getvalue()


FORMATS = {
    "ours.csv": lambda b: frame(b).to_csv().encode(),
    "ours-mark.csv": lambda b: b"\xef\xbb\xbf" + frame(b).to_csv().replace("\n", "\r\n").encode(),
    "ours-semicolon.csv": lambda b: frame(b).to_csv(sep=";").encode(),
    "ours-blank.csv": lambda b: b"\n" + frame(b).to_csv(lineterminator="\n\n").encode(),
    "ours.csv.gz": lambda b: gzip.compress(frame(b).to_csv().encode()),
    "ours-zulu.csv": lambda b: frame(b).to_csv(date_format="%Y-%m-%dT%H:%M:%SZ").encode(),
    "ours-tokyo.csv": lambda b: frame(b).tz_convert("Asia/Tokyo").to_csv().encode(),
    "ours.parquet": lambda b: table_bytes(frame(b), "to_parquet"),
    "ours-column.parquet": lambda b: table_bytes(frame(b).reset_index(), "to_parquet"),
    "ours-nameless.parquet": lambda b: table_bytes(frame(b).rename_axis(None), "to_parquet"),
    "ours-new-york.parquet": lambda b: table_bytes(frame(b).tz_convert("America/New_York"), "to_parquet"),
    "ours-text.parquet": lambda b: table_bytes(frame(b).map(repr), "to_parquet"),
    "epochs.feather": lambda b: table_bytes(frame(b).assign(t=epochs(b, "ms")).reset_index(drop=True), "to_feather"),
    "freqtrade.feather": lambda b: table_bytes(frame(b).rename_axis("date").reset_index(), "to_feather"),
    "ccxt.csv": lambda b: ccxt(b, header=False).encode(),
    "ccxt-header.csv": lambda b: ccxt(b, header=True).encode(),
    "ccxt-numbered.csv": lambda b: ccxt(b, header=[str(i) for i in range(6)]).encode(),
    "binance.zip": lambda b: zipped(binance(b, "ms", header=False)),
    "binance-header.zip": lambda b: zipped(binance(b, "ms", header=True)),
    "binance-us.csv": lambda b: binance(b, "us", header=False).encode(),
    "binance-us-header.csv": lambda b: binance(b, "us", header=True).encode(),
    "capitals.csv": lambda b: capitals(b, None).to_csv().encode(),
    "yfinance.csv": lambda b: capitals(b, "Date").to_csv().encode(),
    "yfinance-two-headers.csv": lambda b: yfinance_two_headers(b).encode(),
    "yfinance.parquet": lambda b: table_bytes(capitals(b, "Datetime"), "to_parquet"),
}
