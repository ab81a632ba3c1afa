"""Sniper."""

from __future__ import annotations

from strategies.base import Profile


class Sniper(Profile):
    """Few trades, the most confident: 0.95 unless the bundle says otherwise, and never in a turbulent market."""

    title = "Sniper"
    regime_gate = True
    auditor_gate = False
