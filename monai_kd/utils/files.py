# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or absent: atomic writes, and the hash that proves what was written."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

__all__ = [
    "sha256_of_file",
    "slug",
    "write_atomically",
    "write_sha256sums",
    "write_text_atomically",
]


def write_atomically(
    path: str | os.PathLike[str],
    write: Callable[[IO[bytes]], object],
    *,
    mode: int | None = None,
) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one, never half.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and replace
    ``path`` in one step. When writing fails (a full disk), the old file stays as it was.

    Args:
        path: file to write; its folder is made when missing.
        write: called with the open binary file.
        mode: permissions, such as ``0o600`` for its owner alone, which the file has from the start;
            None gives those of any new file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all; see :func:`write_atomically`.

    Args:
        path: file to write.
        text: its content.
    """
    write_atomically(path, lambda file: file.write(text.encode()))


def slug(text: str) -> str:
    """Return ``text`` as part of a file name: ASCII letters, digits, - and _; others become _.

    Args:
        text: such as the name of a finding; an empty one gives ``_``.
    """
    return re.sub(r"[^0-9A-Za-z_-]", "_", text) or "_"


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Args:
        path: file to read.
    """
    with Path(path).open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_sha256sums(folder: str | os.PathLike[str], names: Iterable[str]) -> None:
    """Write ``SHA256SUMS`` (the format of ``sha256sum``) for files of one folder.

    Args:
        folder: holds the files and gets ``SHA256SUMS``.
        names: file names in it; names that do not exist are left out.
    """
    root = Path(folder)
    lines = [f"{sha256_of_file(root / name)}  {name}\n" for name in names if (root / name).exists()]
    write_text_atomically(root / "SHA256SUMS", "".join(lines))


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
