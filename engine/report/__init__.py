"""The report of a comparison: one HTML file that needs no network, no server and no reader's guide.

``payload`` says what a report may contain, block by block; ``blocks`` makes the bulky blocks from
bars, trades and equity; ``page`` turns a payload into the page.
"""

from engine.report.page import render, write_page
from engine.report.payload import Report

__all__ = ["Report", "render", "write_page"]
