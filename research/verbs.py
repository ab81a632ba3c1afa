"""The research lab's verbs: each becomes a verb of the front door."""

from __future__ import annotations

import typer

research_app = typer.Typer()
