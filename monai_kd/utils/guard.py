# SPDX-License-Identifier: Apache-2.0
"""Refuse settings that nothing reads, before a bundle starts to work.

``python -m monai.bundle run --config_file train.json --epohcs 2`` adds ``epohcs`` to the config;
MONAI accepts it, and the run goes on with the old number of epochs. :func:`guard_config` is the
first expression of every config here and stops such a run.

In a config, with ``initialize`` and ``run`` as its last keys, and ``trainer`` or ``evaluator`` as
the last key of each section that has one::

    "imports": ["$import monai_kd", "$import monai_kd.utils"],
    ...
    "initialize": ["$monai_kd.utils.guard_config()", ...],
    "run": [...]

MONAI appends what an override adds. So a setting behind those keys is new; one before them belongs
to the file, and may be idle because another override (``--train::trainer::max_epochs 2``) took its
reader away.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from monai_kd.utils.checks import MonaiKDError, did_you_mean
from monai_kd.utils.root_cause import install_error_hook

__all__ = ["guard_config", "unknown_settings"]

# Read by MONAI itself, by MONAI Label or by experiment tracking, not by the config.
_ENTRY_POINTS = frozenset(
    {
        "bundle_root", "dataset_dir", "device", "displayable_configs", "evaluate", "finalize",
        "experiment_name", "import", "imports", "initialize", "is_not_rank0", "network",
        "network_def", "output_dir", "run", "run_name", "save_execute_config", "supported_apps",
        "tracking", "tracking_uri", "train", "use_tensorrt", "validate", "workflow_type",
        "args_file", "config_file", "final_id", "init_id", "logging_file", "meta_file", "run_id",
        "workflow_name",
    }
)  # fmt: skip
# Names that MONAI's bundle properties give to parts of a file, which may stand there idle; set by
# an override, nothing but a reference reads them. Not known: `guard_config` knows a file's own.
# Parts of sections such as `train` and `validate` that MONAI's bundle properties name.
_SECTION_PARTS = frozenset(
    {
        "dataloader", "dataset", "evaluator", "handlers", "inferer", "key_metric",
        "additional_metrics", "postprocessing", "preprocessing", "trainer",
    }
)  # fmt: skip
_ENGINES = ("trainer", "evaluator")
_REFERENCE = re.compile(r"[@%](\w+(?:::\w+)*)")


def guard_config(entry_points: Iterable[str] = ()) -> None:
    """Stop when the config that calls this holds a setting that nothing in it reads.

    It also makes uncaught errors print their cause in one line first, see
    :func:`monai_kd.utils.install_error_hook`. Outside a config there is nothing to check.

    Args:
        entry_points: further top-level ids that are right though nothing refers to them, such as
            a second ``--run_id``.

    Raises:
        MonaiKDError: at a setting without a reader, with the nearest name that has one.
    """
    install_error_hook()
    config, names = _calling_config()
    new = _appended(config)
    unknown = [
        name
        for name in unknown_settings(config, entry_points={*entry_points, *names})
        if name in new
    ]
    if unknown:
        known = _known_names(config, unknown)
        problems = [f"unknown setting `{name}`.{did_you_mean(name, known)}" for name in unknown]
        raise MonaiKDError(" ".join([*problems, "Nothing in the config reads it."]))


def unknown_settings(config: Mapping[str, Any], *, entry_points: Iterable[str] = ()) -> list[str]:
    """Return the ids of a config that nothing in it refers to, in their order.

    Looked at are the top level, and plain values in the sections that hold a trainer or an
    evaluator, such as ``train`` and ``validate``.

    Args:
        config: content of a MONAI config; macros (``%id``) may be replaced already.
        entry_points: top-level ids that need no reference.
    """
    allowed = _ENTRY_POINTS | set(entry_points)
    read = set(_references(config))
    unknown = [
        name
        for name, value in config.items()
        if not name.startswith("_")
        and name not in allowed
        and not _is_read(name, read)
        and not _is_copied(config, name, value)
    ]
    for section, parts in _sections(config):
        if section not in read:
            unknown += [
                f"{section}::{name}"
                for name, value in parts.items()
                if not name.startswith("_")
                and name not in _SECTION_PARTS
                and _is_plain(value)
                and not _is_read(f"{section}::{name}", read)
                and not _is_copied(config, f"{section}::{name}", value)
            ]
    return unknown


def _appended(config: Mapping[str, Any]) -> set[str]:
    """Return the ids behind the last keys of the file and of its sections."""
    added = set(_behind(config, ("initialize", "run", "finalize")))
    for section, parts in _sections(config):
        added.update(f"{section}::{part}" for part in _behind(parts, _ENGINES))
    return added


def _sections(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the plain sections that hold an engine."""
    for name, parts in config.items():
        if isinstance(parts, Mapping) and "_target_" not in parts and set(_ENGINES) & set(parts):
            yield name, parts


def _behind(section: Mapping[str, Any], last_keys: tuple[str, ...]) -> list[str]:
    names = list(section)
    ends = [names.index(key) + 1 for key in last_keys if key in section]
    return names[max(ends) :] if ends else names


def _is_plain(value: Any) -> bool:
    """Return whether this is what one types for a setting, not a part that another file may use."""
    if isinstance(value, str):
        return not value.startswith(("$", "@", "%"))
    return not isinstance(value, Mapping)


def _is_read(name: str, read: set[str]) -> bool:
    return name in read or any(reference.startswith(f"{name}::") for reference in read)


def _references(config: Any, *, depth: int = 0) -> Iterator[str]:
    """Yield each id that a config refers to by ``@id`` or ``%id``, as MONAI recognizes them."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if not (depth == 0 and key == "_meta_"):
                yield from _references(value, depth=depth + 1)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _references(value, depth=depth + 1)
    elif isinstance(config, str):
        text = config.replace("#", "::")
        if text.startswith("$") or _REFERENCE.fullmatch(text):
            yield from _REFERENCE.findall(text)


def _is_copied(config: Mapping[str, Any], name: str, value: Any) -> bool:
    """Return whether a macro ``%name`` was replaced by this: its copy stands elsewhere."""
    if not isinstance(value, (list, dict)) or not value:
        return False
    return any(part == value for place, part in _parts(config) if place != name)


def _parts(config: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every list and section of a config with its id."""
    items = config.items() if isinstance(config, Mapping) else enumerate(config)
    for key, value in items:
        if isinstance(value, (list, dict)):
            here = f"{place}::{key}" if place else str(key)
            yield here, value
            yield from _parts(value, here)


def _known_names(config: Mapping[str, Any], unknown: list[str]) -> list[str]:
    names = [name for name in config if name not in unknown and not name.startswith("_")]
    for section, parts in _sections(config):
        names += [f"{section}::{part}" for part in parts if f"{section}::{part}" not in unknown]
    return names


def _calling_config() -> tuple[dict[str, Any], set[str]]:
    """Return the config that is evaluating the caller, and the ids its workflow runs.

    MONAI gives an expression no handle to its parser, so the calling frames are asked for it.
    """
    parser_module = sys.modules.get("monai.bundle.config_parser")
    workflow_module = sys.modules.get("monai.bundle.workflows")
    config: dict[str, Any] | None = None
    frame = sys._getframe(1)
    while frame is not None and parser_module is not None:
        owner = frame.f_locals.get("self")
        if config is None and isinstance(owner, parser_module.ConfigParser):
            config = owner.get()
        if workflow_module is not None and isinstance(owner, workflow_module.ConfigWorkflow):
            return config or {}, {owner.init_id, owner.run_id, owner.final_id}
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return config or {}, set()
