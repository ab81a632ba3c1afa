"""How many bars a bundle's parts need: what its manifest must declare at least."""

from __future__ import annotations

from collections.abc import Sequence

from engine.features import feature_lookback, feature_memory
from engine.indicators import BLOCK
from models.auditor import feature_inputs
from models.regime import RegimeModel


def needed_memory(features: Sequence[str], window: int, regime: RegimeModel, auditor_inputs: Sequence[str]) -> int:
    """Return how many bars decide, given a bundle's parts: what its manifest must declare at least.

    The window reaches ``window - 1`` bars behind its last; a belief rests on up to two blocks of bars.
    """
    return max(
        feature_memory(features) + window - 1,
        max(feature_memory(regime.features), feature_lookback(regime.features)) + 2 * regime.block - 1,
        feature_memory(feature_inputs(auditor_inputs)) if feature_inputs(auditor_inputs) else 0,
        2 * BLOCK,  # the ATR
        needed_clear_bars(features, window, regime, auditor_inputs),
    )


def needed_clear_bars(features: Sequence[str], window: int, regime: RegimeModel, auditor_inputs: Sequence[str]) -> int:
    """Return how many bars without a gap a decision needs, given a bundle's parts."""
    return max(
        window + feature_lookback(features), feature_lookback((*regime.features, *feature_inputs(auditor_inputs)))
    )
