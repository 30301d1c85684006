# SPDX-License-Identifier: Apache-2.0
"""What the page says about the data and the software: counts and versions, never names."""

from __future__ import annotations

import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from monai_kd.data.datalist import Datalist, sha256_of_sections

__all__ = ["data_summary", "software_versions"]

_PACKAGES = ("monai-kd", "monai", "torch", "pytorch-ignite", "numpy", "scikit-learn", "pydicom")


def data_summary(datalist: Datalist) -> dict[str, Any]:
    """Return the counts of a datalist, the ``data`` entry of ``evaluation.json``.

    Args:
        datalist: what the run was trained and evaluated on.

    Returns:
        ``findings``, ``exclusive``, ``synthetic`` (the built-in archive), ``sha256`` of the file
        list, and by section ``images``, ``patients``, ``positives`` and ``unknown`` by finding,
        ``with_regions``, ``sites``.
    """
    sections = {
        name: _section(items, list(datalist.findings)) for name, items in datalist.sections.items()
    }
    return {
        "findings": list(datalist.findings),
        "exclusive": datalist.exclusive,
        "synthetic": datalist.root.name == "phantom",
        "sha256": sha256_of_sections(datalist.sections),
        "sections": sections,
    }


def software_versions() -> dict[str, str]:
    """Return the versions of what computes, the ``versions`` entry of ``evaluation.json``."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _section(items: list[dict[str, Any]], findings: list[str]) -> dict[str, Any]:
    labels = [item.get("label") or [None] * len(findings) for item in items]
    return {
        "images": len(items),
        "patients": len({item.get("patient_id") for item in items}),
        "positives": {
            name: sum(label[c] == 1 for label in labels) for c, name in enumerate(findings)
        },
        "unknown": {
            name: sum(label[c] is None for label in labels) for c, name in enumerate(findings)
        },
        "with_regions": sum(bool(item.get("regions")) for item in items),
        "sites": dict(sorted(Counter(str(i["site"]) for i in items if i.get("site")).items())),
    }
