"""Audited."""

from __future__ import annotations

from strategies.base import Profile


class Audited(Profile):
    """More proposals, from 0.75 on, with two second opinions: the auditor is the gatekeeper."""

    title = "Audited"
    regime_gate = True
    auditor_gate = True
