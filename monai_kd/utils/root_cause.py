# SPDX-License-Identifier: Apache-2.0
"""What went wrong, in one line: the innermost cause of an error, without names of images.

MONAI wraps an error of a config once for each level of the config, so that the cause stands below
dozens of lines. The hook of this file prints the cause first and keeps the traceback for those who
ask for it with ``MONAI_KD_TRACEBACK=1``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from monai_kd.utils.checks import MonaiKDError

__all__ = ["describe_error", "install_error_hook", "root_cause", "wants_traceback"]

_LONGEST = 600
_IMAGE_SUFFIX = (
    r"\.(?:dcm|dicom|ima|png|jpe?g|jp2|j2k|jls|tiff?|bmp|gif|webp|nii(?:\.gz)?|nrrd|mha|mhd|npy)"
)
_QUOTED = re.compile(r"""(?P<quote>['"`])(?P<path>[^'"`\n]*)(?P=quote)""")
_BARE_PATH = re.compile(rf"(?:[A-Za-z]:)?[\\/][^'\"`\n]*?{_IMAGE_SUFFIX}\b", re.IGNORECASE)
_BARE_NAME = re.compile(rf"[^\s'\"`<>]+{_IMAGE_SUFFIX}\b", re.IGNORECASE)
_WORKER_ERROR = re.compile(r"^\s*(?:\w+\.)*(\w*(?:Error|Exception|Interrupt)): ", re.MULTILINE)
_TRACEBACK_HINT = "Set MONAI_KD_TRACEBACK=1 to see the traceback."


def root_cause(error: BaseException) -> BaseException:
    """Return the error that says most: the innermost of ours, else the innermost of all.

    Args:
        error: what was raised; its ``__cause__`` and ``__context__`` are followed.
    """
    chain = list(_chain(error))
    ours = [link for link in chain if _is_ours(link)]
    return (ours or chain)[-1]


def describe_error(error: BaseException) -> str:
    """Return one line that says who failed and why, without a path of an image.

    When the error came up inside a MONAI config, the line names the config id.

    Args:
        error: what was raised.

    Example:
        >>> describe_error(OSError("cannot read '/archive/DOE^JANE.dcm'"))
        'OSError: cannot read <file>'
    """
    cause = root_cause(error)
    message = _without_images(" ".join(_message(cause).split()))
    if len(message) > _LONGEST:
        message = message[: _LONGEST - 4].rstrip() + " ..."
    place = "" if isinstance(cause, MonaiKDError) else _config_id(error)
    return f"in `{place}` of the config: {message}" if place else message


def wants_traceback() -> bool:
    """Return whether ``MONAI_KD_TRACEBACK`` asks for the whole traceback."""
    return os.environ.get("MONAI_KD_TRACEBACK", "") not in ("", "0")


def install_error_hook() -> None:
    """Make uncaught errors print one line first; the exit code of Python stays what it was.

    With ``MONAI_KD_TRACEBACK=1`` the traceback follows. Under ``torchrun`` the line names the rank.
    Installing twice changes nothing.
    """
    sys.excepthook = _print_error


def _print_error(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    who = f"monai_kd{_rank()}"
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write(f"{who}: stopped from the keyboard.\n")
        return
    sys.stderr.write(f"{who}: {describe_error(error)}\n")
    if wants_traceback():
        sys.__excepthook__(kind, error, traceback)
    elif not isinstance(root_cause(error), MonaiKDError):
        sys.stderr.write(f"{who}: {_TRACEBACK_HINT}\n")


def _rank() -> str:
    many = os.environ.get("WORLD_SIZE", "1") not in ("", "1")
    return f" [rank {os.environ.get('RANK', '?')}]" if many else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, then what caused it, down to the innermost."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        below = None if link.__suppress_context__ else link.__context__
        link = link.__cause__ or below


def _is_ours(error: BaseException) -> bool:
    """Return whether the message was written in this package, for the user."""
    if isinstance(error, MonaiKDError):
        return True
    frames = list(_frames(error.__traceback__))
    raised_in = frames[-1].tb_frame.f_globals.get("__name__", "") if frames else ""
    kinds = (KeyError, TypeError, ValueError)
    return isinstance(error, kinds) and str(raised_in).startswith("monai_kd.")


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _message(error: BaseException) -> str:
    text = _from_worker(str(error))
    if text is not None:
        return text
    # str(KeyError) is the repr of its argument, with quotes and escapes
    plain = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if _is_ours(error):
        return plain
    name = type(error).__name__
    return f"{name}: {plain}" if plain else name


def _from_worker(text: str) -> str | None:
    """Return the cause that a data loader's worker process sent as the text of a traceback."""
    if "Original Traceback" not in text:
        return None
    innermost = re.split(r"\n(?:The above exception was|During handling of)", text)[0]
    found = list(_WORKER_ERROR.finditer(innermost.partition("Original Traceback")[2]))
    if not found:
        return None
    tail = found[-1].string[found[-1].start(1) :]
    return tail.removeprefix("MonaiKDError: ")


def _config_id(error: BaseException) -> str:
    """Return the id of the config item that MONAI was building, or an empty string."""
    names = [
        str(step.tb_frame.f_locals.get("id", ""))
        for link in _chain(error)
        for step in _frames(link.__traceback__)
        if step.tb_frame.f_code.co_name == "_resolve_one_item"
    ]
    # the guard speaks of the whole config, not of the expression that calls it
    ours = [name for name in names if name and not name.startswith("initialize")]
    return ours[-1] if ours else ""


def _without_images(text: str) -> str:
    text = _QUOTED.sub(_hide_quoted, text)
    return _BARE_NAME.sub("<file>", _BARE_PATH.sub("<file>", text))


def _hide_quoted(match: re.Match[str]) -> str:
    path = match["path"]
    named = re.search(rf"{_IMAGE_SUFFIX}$", path, re.IGNORECASE)
    # DICOM files often have no suffix: what is no folder may be an image
    bare = ("/" in path or "\\" in path) and not Path(path).suffix and not _is_folder(path)
    return "<file>" if named or bare else match[0]


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False
