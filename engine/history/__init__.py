"""Market history: read, checked, kept, found, and made coarser; never repaired.

* ``read_bars``       a file becomes bars
* ``check_file``      everything wrong or remarkable in a file
* ``resample``        coarser bars
* ``Store``           stored series
* ``External``        values from outside a market, joined to bars by ``as_of``
* ``embedded_bars``   what comes with the installed packages
* ``find_bars``       any of these by name or path
"""

from engine.history.check import Check, Finding, check_bars, check_file
from engine.history.embedded import EMBEDDED, embedded_bars
from engine.history.external import External, Session, as_of
from engine.history.find import check_named, find_bars, list_series
from engine.history.read import read_bars
from engine.history.resample import resample
from engine.history.series import Series
from engine.history.store import Store

__all__ = [
    "EMBEDDED",
    "Check",
    "External",
    "Finding",
    "Series",
    "Session",
    "Store",
    "as_of",
    "check_bars",
    "check_file",
    "check_named",
    "embedded_bars",
    "find_bars",
    "list_series",
    "read_bars",
    "resample",
]
