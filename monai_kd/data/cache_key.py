# SPDX-License-Identifier: Apache-2.0
"""When two builds of the cache would be the same: a hash of what goes in and of what is done to it.

Names of files, of patients and of images are not part of it; the bytes of the files are.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from monai_kd import __version__
from monai_kd.utils import sha256_of_file, write_text_atomically

__all__ = ["content_key", "describe", "random_parts"]

_FORMAT = 1  # raise it when the files of the cache change their meaning
_NOT_CONTENT = ("id", "patient_id")
_MEMO = "hashes.json"
_SETTLED_NS = 2_000_000_000


def content_key(
    items: Sequence[Mapping[str, Any]],
    *,
    prepare: Any,
    fingerprint: str,
    cache_dir: Path,
    pool: Executor,
) -> str:
    """Return 64 hexadecimal digits that change with any file, region, label or setting.

    Hashes of files that did not change since are remembered in ``cache_dir`` by inode, size and
    times, so that a second run reads no image file.

    Args:
        items: the data, file names absolute.
        prepare: the deterministic transform, see :func:`describe`.
        fingerprint: anything else that the result depends on.
        cache_dir: folder of the cache.
        pool: threads that read the files.
    """
    memo = _read_memo(cache_dir / _MEMO)
    known = dict(memo)
    total = hashlib.sha256()
    for text in (str(_FORMAT), __version__, fingerprint, describe(prepare)):
        total.update(hashlib.sha256(text.encode()).digest())
    for digest in pool.map(lambda item: _hash_of_item(item, memo), items):
        total.update(digest)
    if memo != known:
        with contextlib.suppress(OSError):  # only time is lost
            write_text_atomically(cache_dir / _MEMO, json.dumps(memo))
    return total.hexdigest()


def describe(thing: Any, depth: int = 12) -> str:
    """Return class names and settings of a transform, nested; equal for equal settings.

    Arrays enter by the hash of their values, functions by the hash of their code. Attributes that
    hold anything else (an open file, a lock, a random state) enter by their type.

    Args:
        thing: a transform, or any object.
        depth: how deep to look.
    """
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes | enum.Enum):
        return repr(thing)
    if isinstance(thing, type):
        return f"{thing.__module__}.{thing.__qualname__}"
    inside = _parts(thing, depth - 1) if depth > 0 else ()
    return f"{describe(type(thing))}({','.join(inside)})"


def random_parts(transform: Any) -> Iterator[Any]:
    """Yield every part of a transform that draws random numbers, containers among them.

    Args:
        transform: a callable; what it holds in ``transforms`` is looked through.
    """
    if hasattr(transform, "set_random_state"):
        yield transform
    for part in getattr(transform, "transforms", ()):
        yield from random_parts(part)


def _parts(thing: Any, depth: int) -> Iterable[str]:
    """Return the descriptions of what a thing holds, in an order that does not change."""
    if hasattr(thing, "detach"):  # a tensor of any kind
        thing = thing.detach().cpu().numpy()
    if isinstance(thing, np.ndarray | np.generic):
        return (str(thing.dtype), str(thing.shape), _digest(thing.tobytes()))
    if isinstance(thing, os.PathLike):
        return (os.fspath(thing),)
    if isinstance(thing, list | tuple | range):
        return [describe(part, depth) for part in thing]
    if isinstance(thing, set | frozenset):
        return sorted(describe(part, depth) for part in thing)
    if isinstance(thing, Mapping):
        return sorted(f"{describe(k, depth)}:{describe(v, depth)}" for k, v in thing.items())
    return _parts_of_object(thing, depth)


def _parts_of_object(thing: Any, depth: int) -> Iterable[str]:
    if hasattr(thing, "__code__"):
        return _describe_function(thing, depth)
    if hasattr(thing, "__func__"):  # a bound method
        return (describe(thing.__func__, depth), describe(thing.__self__, depth))
    settings = {**_slots(thing), **getattr(thing, "__dict__", {})}
    return [f"{k}={describe(v, depth)}" for k, v in sorted(settings.items()) if k != "R"]


def _slots(thing: Any) -> dict[str, Any]:
    """Return the arguments of a ``functools.partial``, which keeps them outside ``__dict__``."""
    return {k: getattr(thing, k) for k in ("func", "args", "keywords") if hasattr(thing, k)}


def _describe_function(function: Any, depth: int) -> tuple[str, ...]:
    code = function.__code__
    constants = [part for part in code.co_consts if not hasattr(part, "co_code")]
    nested = [_digest(part.co_code) for part in code.co_consts if hasattr(part, "co_code")]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    rest = [constants, nested, code.co_names, function.__defaults__, function.__kwdefaults__, cells]
    return (function.__qualname__, _digest(code.co_code), *(describe(p, depth) for p in rest))


def _hash_of_item(item: Mapping[str, Any], memo: dict[str, str]) -> bytes:
    content = {key: value for key, value in item.items() if key not in _NOT_CONTENT}
    return hashlib.sha256(describe(_without_names(content, memo)).encode()).digest()


def _without_names(value: Any, memo: dict[str, str]) -> Any:
    """Put the hash of a file in the place of its name, in lists and dictionaries too."""
    if isinstance(value, Mapping):
        return {key: _without_names(part, memo) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_names(part, memo) for part in value]
    if isinstance(value, str | os.PathLike):
        return _hash_of_file(value, memo) or (value if isinstance(value, str) else "missing")
    return value


def _hash_of_file(path: str | os.PathLike[str], memo: dict[str, str]) -> str | None:
    try:
        if not Path(path).is_file():
            return None
        stat = Path(path).stat()
        state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        key = "-".join(str(number) for number in state)
        if key not in memo:
            digest = sha256_of_file(path)
            if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _SETTLED_NS:
                return digest  # it could change again within one tick of the clock
            memo[key] = digest
        return memo[key]
    except (OSError, ValueError):
        return None


def _read_memo(path: Path) -> dict[str, str]:
    try:
        memo = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return memo if isinstance(memo, dict) else {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
