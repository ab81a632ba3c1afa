"""Bundle folders on disk: written whole or not at all, read only if every byte is the one that was written."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

from engine.errors import ModelMismatch, UsageError
from engine.history.atomic import target
from models.manifest import MANIFEST, Manifest

# bytes; a stranger's file may be any size
LARGEST = {".json": 64 << 20, ".onnx": 512 << 20, ".safetensors": 512 << 20, ".parquet": 1 << 30}
LARGEST_MANIFEST = 4 << 20
LARGEST_OTHER = 16 << 20
MOST_FILES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def write_bundle(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write a bundle in one move: a reader sees the old folder or the new one, never half of it.

    Parameters
    ----------
    folder : Path
        Where the bundle goes; an earlier bundle there is replaced.
    manifest : Manifest
        Its ``files`` are filled in here.
    files : dict of str to bytes
        What lies beside the manifest, by plain file name.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UsageError
        If the folder holds something that is no bundle, or a name is no plain file name.
    """
    for name in files:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise UsageError(f"file name {name!r} is not allowed in a bundle; use letters, digits and . _ -")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} holds files but no {MANIFEST}; name a new folder for the bundle")
    given, folder = folder, target(folder)
    page = replace(manifest, files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    old = draft.with_name(f"{draft.name}.old")
    try:
        draft.chmod(0o755)
        for name, content in {**files, MANIFEST: page.to_json()}.items():
            (draft / name).write_bytes(content)
        if folder.exists():
            os.replace(folder, old)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if old.exists() and not folder.exists():  # interrupted between the two moves
            os.replace(old, folder)
    shutil.rmtree(old, ignore_errors=True)
    return given


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the manifest of a bundle folder and the sha256 of its bytes, which names the bundle's exact content."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"bundle {folder} cannot be read: see to the folder's permissions")
    if not (folder / MANIFEST).exists():
        raise UsageError(f"{folder} is no bundle: it has no {MANIFEST}; name a bundle's folder")
    raw = _read(folder / MANIFEST, LARGEST_MANIFEST)
    return Manifest.from_json(raw, f"{folder.name}/{MANIFEST}"), hashlib.sha256(raw).hexdigest()


def check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder whose files are not exactly those its manifest lists; files beginning with a dot are not ours."""
    if len(manifest.files) > MOST_FILES:
        raise ModelMismatch(f"bundle {manifest.name} lists {len(manifest.files)} files; at most {MOST_FILES} are read")
    for name in manifest.files:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            raise ModelMismatch(
                f"bundle {manifest.name} lists file {name!r}, which is no plain file name; do not use it"
            )
        _regular(folder / name, _largest(name))
    present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    strange = sorted(present - set(manifest.files) - {MANIFEST})
    if strange:
        raise ModelMismatch(
            f"bundle {manifest.name} holds {strange[0]!r}, which its manifest does not list; remove the file"
        )


def read_file(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Return the bytes of one file of a bundle once they hash to what the manifest says."""
    if name not in manifest.files:
        raise ModelMismatch(f"bundle {manifest.name} has no {name}; retrain it with `tradsys train {manifest.name}`")
    content = _read(folder / name, _largest(name))
    _same(manifest, name, hashlib.sha256(content).hexdigest())
    return content


def check_others(folder: Path, manifest: Manifest, read: Collection[str]) -> None:
    """Refuse a bundle if a file that is not read now was changed; it is hashed piece by piece."""
    for name in sorted(set(manifest.files) - set(read)):
        with _readable(folder / name) as stream:
            _same(manifest, name, hashlib.file_digest(stream, "sha256").hexdigest())


def _same(manifest: Manifest, name: str, digest: str) -> None:
    if digest != manifest.files[name]:
        raise ModelMismatch(f"bundle {manifest.name}: {name} was changed since it was written; restore it or retrain")


def _largest(name: str) -> int:
    return LARGEST.get(Path(name).suffix, LARGEST_OTHER)


def _read(path: Path, largest: int) -> bytes:
    _regular(path, largest)
    with _readable(path) as stream:
        return stream.read()


def _readable(path: Path) -> BufferedReader:
    """Open a file, or say that it may not be read."""
    try:
        return path.open("rb")
    except PermissionError:
        raise ModelMismatch(f"{path.parent.name}/{path.name} cannot be read; see to its permissions") from None


def _regular(path: Path, largest: int) -> None:
    """Refuse what is missing, too large, or no file of its own: a link or device could lead anywhere."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise ModelMismatch(f"{path.parent.name}/{path.name} is missing; restore it or retrain") from None
    if not stat.S_ISREG(found.st_mode):
        raise ModelMismatch(
            f"{path.parent.name}/{path.name} is no regular file (a link or folder); put the file itself there"
        )
    if found.st_size > largest:
        raise ModelMismatch(f"{path.parent.name}/{path.name} has {found.st_size} bytes; at most {largest} are read")
