# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a datalist, item by item, in words that hold no file name and no id."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from monai_kd.utils import did_you_mean

__all__ = ["REGION_KEYS", "datalist_problems", "is_section", "missing_files"]

REGION_KEYS = ("regions", "hidden_regions")  # entries of an item that hold lists of regions
_SECTION = re.compile(r"labeled|unlabeled_[1-9][0-9]*|validation|test")
_COMMON_SECTIONS = ("labeled", "unlabeled_1", "validation", "test")
_OUR_KEYS = frozenset(
    {"image", "label", "lung_mask", "patient_id", "id", "pixel_sha256", "hidden_label"}
) | set(REGION_KEYS)
_PRIVATE_KEYS = ("id", "patient_id")


def is_section(name: str) -> bool:
    """Return whether ``name`` is ``labeled``, ``unlabeled_1``, ..., ``validation`` or ``test``.

    Args:
        name: key of the datalist.
    """
    return _SECTION.fullmatch(name) is not None


def datalist_problems(content: Mapping[str, Any]) -> list[str]:
    """List what is wrong with a datalist's content; empty when all is well.

    Args:
        content: the JSON object, header and sections.
    """
    validator = _validator()
    header = {key: value for key, value in content.items() if not is_section(key)}
    problems = [_say(error) for error in validator.iter_errors(header)]
    problems += _section_problems(content)
    if problems:
        return problems
    findings, exclusive = content["findings"], content["exclusive"]
    item_validator = validator.evolve(schema={"$ref": "#/$defs/item"})
    for name, items in content.items():
        first: dict[str, int] = {}  # of each id; a film in two sections is the leak gate's matter
        for number, item in enumerate(items if is_section(name) else []):
            where = f"section `{name}`, item {number}: "
            said = [_say(error) for error in item_validator.iter_errors(item)]
            said = said or list(_item_problems(item, findings, exclusive))
            said = said or list(_repeated_id(item, number, first))
            problems += [where + problem for problem in said]
    return problems


def missing_files(content: Mapping[str, Any], root: Path) -> list[str]:
    """Say per section how many files are not there, and which items name them.

    Args:
        content: header and sections, free of other problems.
        root: folder that the paths start from.
    """
    problems = []
    for name, items in content.items():
        if not is_section(name):
            continue
        numbers = [
            number
            for number, item in enumerate(items)
            if not all((root / path).is_file() for path in _paths(item))
        ]
        if numbers:
            shown = ", ".join(str(number) for number in numbers[:10])
            problems.append(
                f"section `{name}`: the files of {len(numbers)} of {len(items)} items must exist, "
                f"got none for items {shown}{', ...' if len(numbers) > 10 else ''}."
            )
    return problems


def _paths(item: Mapping[str, Any]) -> Iterator[str]:
    yield item["image"]
    if item.get("lung_mask"):
        yield item["lung_mask"]
    for key in REGION_KEYS:
        yield from (region["mask"] for region in item.get(key) or [] if region.get("mask"))


def _section_problems(content: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, value in content.items():
        if is_section(name) and not isinstance(value, list):
            problems.append(f"section `{name}` must be a list of items, got {_kind(value)}.")
        elif isinstance(value, list) and not is_section(name) and name != "findings":
            problems.append(
                f"`{name}` must be one of the sections labeled, unlabeled_1, ..., validation, "
                f"test, got an unknown name.{did_you_mean(name, _COMMON_SECTIONS)}"
            )
    if not any(is_section(name) for name in content):
        problems.append("the datalist must have a section such as `labeled`, got none.")
    return problems


def _item_problems(
    item: Mapping[str, Any], findings: Sequence[str], exclusive: bool
) -> Iterator[str]:
    label = item["label"]
    if len(label) != len(findings):
        yield f"`label` must have one number per finding ({len(findings)}), got {len(label)}."
    elif exclusive and any(value is not None for value in label) and not _is_one_hot(label):
        yield f"`label` must have exactly one 1 (findings are exclusive), or all null, got {label}."
    for key in REGION_KEYS:
        for number, region in enumerate(item.get(key) or []):
            yield from (f"`{key}` {number}: {said}" for said in _region_problems(region, findings))
    for key in item:
        near = _meant(key)
        if near:
            yield f"`{key}` must be a known name.{near}"


def _repeated_id(item: Mapping[str, Any], number: int, first: dict[str, int]) -> Iterator[str]:
    if item.get("id") and first.setdefault(item["id"], number) != number:
        yield f"`id` must be another than that of item {first[item['id']]}, got the same."


def _is_one_hot(label: Sequence[int | None]) -> bool:
    return label.count(1) == 1 and label.count(0) == len(label) - 1


@lru_cache(maxsize=256)
def _meant(key: str) -> str:
    """Return a hint when a key of free metadata is one of ours, misspelt."""
    if key in _OUR_KEYS or not difflib.get_close_matches(key, _OUR_KEYS, n=1, cutoff=0.85):
        return ""
    return did_you_mean(key, _OUR_KEYS)


def _region_problems(region: Mapping[str, Any], findings: Sequence[str]) -> Iterator[str]:
    finding = region.get("finding")
    if finding is not None and finding not in findings:
        yield (
            f"`finding` must be null or one of {', '.join(findings)}, got another."
            f"{did_you_mean(finding, findings)}"
        )
    if "box" in region:
        x_min, y_min, x_max, y_max = region["box"]
        if not (x_min < x_max and y_min < y_max):
            yield f"`box` must have x_min < x_max and y_min < y_max, got {region['box']}."


def _say(error: Any) -> str:
    """Turn a schema error into "`field` must be ..., got ..."; texts are never repeated."""
    where = "".join(f" {part}" if isinstance(part, int) else f" `{part}`" for part in error.path)
    subject = where.strip() or "it"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{subject} must have {' and '.join(f'`{key}`' for key in missing)}, got none."
    private = bool(error.path) and error.path[-1] in _PRIVATE_KEYS
    got = _kind(error.instance)
    if private and not isinstance(error.instance, str):  # a number may be a record number
        got = "null" if error.instance is None else "no text"
    return f"{subject} must be {error.schema['description']}, got {got}."


def _kind(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, str):
        return "a text" if value else "an empty text"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"an object with {', '.join(sorted(value)[:5]) or 'nothing'}"


@lru_cache(maxsize=1)
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    text = resources.files("monai_kd.data").joinpath("datalist_schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))
