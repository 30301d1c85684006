# SPDX-License-Identifier: Apache-2.0
"""Radiograph files, regions, datalists, splits, leak gate, phantom archive."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from monai_kd.data.arrivals import arriving_films, check_arrivals, labeled_rates
from monai_kd.data.build import build_datalist, read_salt
from monai_kd.data.datalist import (
    Datalist,
    DatalistError,
    load_datalist,
    open_datalist,
    save_datalist,
    sha256_of_sections,
)
from monai_kd.data.describe import describe_datalist, drawn_findings, films_without_patient
from monai_kd.data.fingerprint import datalist_fingerprint, section_fingerprints
from monai_kd.data.gray_histogram import (
    GrayHistogram,
    film_histogram,
    read_film_histogram,
    write_film_histogram,
)
from monai_kd.data.gray_shift import GrayShift, gray_hints, gray_shift
from monai_kd.data.groups import (
    check_choosing,
    check_groups,
    film_groups,
    findings_without_drawing,
    refuse_exclusive,
)
from monai_kd.data.labels import LabelColumns
from monai_kd.data.leaks import LEAK_CHECKS, LeakReport, check_leaks, refuse_leaks
from monai_kd.data.marked import refuse_unmarked
from monai_kd.data.radiograph import (
    RADIOGRAPH_POLICIES,
    Radiograph,
    RadiographError,
    read_radiograph,
    stored_pixels_sha256,
)
from monai_kd.data.region_formats import REGION_FORMATS, RegionFormat, read_regions
from monai_kd.data.region_table import RegionTable
from monai_kd.data.regions import Region, RegionError, region_kind, regions_to_mask
from monai_kd.data.splits import SplitSettings, check_sections, split_patients
from monai_kd.data.trained_on import (
    refuse_foreign_datalist,
    refuse_trained_films,
    remember_films,
)

if TYPE_CHECKING:
    from monai_kd.data.arrival_sampler import ArrivalSampler
    from monai_kd.data.cache import CachedDataset
    from monai_kd.data.collate import collate_items
    from monai_kd.data.films import FilmDataset, find_films
    from monai_kd.data.group_sampler import GroupSampler, films_of_an_epoch
    from monai_kd.data.phantom import FAKE_FAMILY_NAMES, draw_phantom_archive
    from monai_kd.data.sampler import EpochSampler

__all__ = [
    "FAKE_FAMILY_NAMES",
    "LEAK_CHECKS",
    "RADIOGRAPH_POLICIES",
    "REGION_FORMATS",
    "ArrivalSampler",
    "CachedDataset",
    "Datalist",
    "DatalistError",
    "EpochSampler",
    "FilmDataset",
    "GrayHistogram",
    "GrayShift",
    "GroupSampler",
    "LabelColumns",
    "LeakReport",
    "Radiograph",
    "RadiographError",
    "Region",
    "RegionError",
    "RegionFormat",
    "RegionTable",
    "SplitSettings",
    "arriving_films",
    "build_datalist",
    "check_arrivals",
    "check_choosing",
    "check_groups",
    "check_leaks",
    "check_sections",
    "collate_items",
    "datalist_fingerprint",
    "describe_datalist",
    "draw_phantom_archive",
    "drawn_findings",
    "film_groups",
    "film_histogram",
    "films_of_an_epoch",
    "films_without_patient",
    "find_films",
    "findings_without_drawing",
    "gray_hints",
    "gray_shift",
    "labeled_rates",
    "load_datalist",
    "open_datalist",
    "read_film_histogram",
    "read_radiograph",
    "read_regions",
    "read_salt",
    "refuse_exclusive",
    "refuse_foreign_datalist",
    "refuse_leaks",
    "refuse_trained_films",
    "refuse_unmarked",
    "region_kind",
    "regions_to_mask",
    "remember_films",
    "save_datalist",
    "section_fingerprints",
    "sha256_of_sections",
    "split_patients",
    "stored_pixels_sha256",
    "write_film_histogram",
]

# Imported when first asked for: these need torch or SciPy, which the command line can do without.
_LATE = {
    "CachedDataset": "cache",
    "ArrivalSampler": "arrival_sampler",
    "EpochSampler": "sampler",
    "FAKE_FAMILY_NAMES": "phantom",
    "FilmDataset": "films",
    "GroupSampler": "group_sampler",
    "films_of_an_epoch": "group_sampler",
    "collate_items": "collate",
    "draw_phantom_archive": "phantom",
    "find_films": "films",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value
