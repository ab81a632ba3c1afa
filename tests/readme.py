"""README's commands and examples: run them, compare or paste what they print.

A ``console`` block is a session: lines that begin with ``$ `` are commands, the rest is what they
printed. A ``python`` block is a program, and the ``text`` block after it what it printed. A block
marked ``console slow`` takes minutes: it is pasted by ``make readme`` and not run by the tests.
A line ``...`` in what was printed stands for any number of lines. Python is run in a folder of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (
    README,
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("believing-a-backtest", "fill-rules", "features", "data", "watching-the-bot")
    ),
)
BLOCK = re.compile(r"^```(?P<kind>console slow|console|python|text)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    start: int
    end: int

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Commands of a session, each with what it printed."""
        parts = re.split(r"^\$ (.*)$\n?", self.body, flags=re.MULTILINE)[1:]
        return list(zip(parts[0::2], parts[1::2], strict=True))


def blocks(text: str) -> list[Block]:
    return [Block(m["kind"], m["body"], m.start("body"), m.end("body")) for m in BLOCK.finditer(text)]


def run_command(command: str, folder: Path) -> str:
    """Run one command of a session as a reader would, and return what it printed; progress goes to stderr."""
    if command == "make compare":  # what it runs once everything is installed
        command = "tradsys compare"
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = {**os.environ, "PATH": path, "COLUMNS": "118", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(command, shell=True, cwd=folder, env=shown, capture_output=True, text=True, timeout=1800)
    assert done.returncode in (0, 1), f"{command}\n{done.stdout}{done.stderr}"
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def run_python(program: str, folder: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def matches(shown: str, printed: str) -> bool:
    """Whether what README shows is what was printed; ``...`` on a line of its own stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", shown.strip() + "\n", flags=re.MULTILINE)]
    return re.fullmatch(r"(?:.*\n)*?".join(parts), printed.strip() + "\n") is not None


def paste(page: Path, folder: Path) -> None:
    """Run everything a page shows, in order, and write what was printed into it; outputs with ``...`` stay."""
    text = page.read_text()
    found, bodies = blocks(text), {}
    for i, block in enumerate(found):
        if block.kind.startswith("console"):
            bodies[i] = "".join(f"$ {command}\n{_shown(old, command, folder)}" for command, old in block.commands)
        elif block.kind == "text" and found[i - 1].kind == "python":
            bodies[i] = run_python(found[i - 1].body, folder)
    for i in sorted(bodies, reverse=True):
        text = text[: found[i].start] + bodies[i] + text[found[i].end :]
    page.write_text(text)


def _shown(old: str, command: str, folder: Path) -> str:
    printed = run_command(command, folder)
    return old if "\n...\n" in f"\n{old}" else printed


if __name__ == "__main__":
    import tempfile

    from tests.test_readme import write_archive

    for shown in PAGES:
        with tempfile.TemporaryDirectory() as home:
            write_archive(Path(home) / "SOLUSDT-1h.csv")
            paste(shown, Path(home))
