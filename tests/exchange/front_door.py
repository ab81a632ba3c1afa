"""``tradsys live`` in a process of its own, its wire and its clock led to a loopback exchange of another process."""

from __future__ import annotations

import sys

import tradsys
from live import door
from live.settings import Settings
from live.start import Surroundings
from tests.exchange.trader import RemoteExchange, WorldClock
from tests.exchange.wire import connect


def main(url: str, env_file: str) -> None:
    """Go through the front door; ends the process with its exit code."""
    exchange, outside = RemoteExchange(url), door.surroundings

    def led(settings: Settings, tell) -> Surroundings:  # type: ignore[no-untyped-def]
        made = outside(settings, tell)
        made.broker._ccxt.enableRateLimit = False
        connect(made.broker._ccxt, exchange)
        return made._replace(clock=WorldClock(exchange), locks=settings.folder.parent)

    door.surroundings = led
    sys.argv = ["tradsys", "live", "--env", env_file]
    tradsys.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
