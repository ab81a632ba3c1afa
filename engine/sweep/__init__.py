"""Sweeps: many rules over one market, scored in the kernel, judged with all of them counted."""

from engine.sweep.grid import Combo, Grid, parse_axis
from engine.sweep.result import Plateau, SweepResult
from engine.sweep.run import sweep

__all__ = ["Combo", "Grid", "Plateau", "SweepResult", "parse_axis", "sweep"]
