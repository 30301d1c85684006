# SPDX-License-Identifier: Apache-2.0
"""Radiograph files, regions, datalists, splits, leak gate, phantom archive."""

from monai_kd.data.radiograph import (
    RADIOGRAPH_POLICIES,
    Radiograph,
    RadiographError,
    read_radiograph,
    stored_pixels_sha256,
)

__all__ = [
    "RADIOGRAPH_POLICIES",
    "Radiograph",
    "RadiographError",
    "read_radiograph",
    "stored_pixels_sha256",
]
