"""Reckless."""

from __future__ import annotations

from strategies.base import Profile


class Reckless(Profile):
    """Everything the predictor likes, from 0.75 on: the control that shows what the gates are worth."""

    title = "Reckless"
    regime_gate = False
    auditor_gate = False
