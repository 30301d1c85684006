# SPDX-License-Identifier: Apache-2.0
"""Drawn chest radiographs with planted findings, stored as a hospital stores them."""

from monai_kd.data.phantom.archive import FAKE_FAMILY_NAMES, draw_phantom_archive

__all__ = ["FAKE_FAMILY_NAMES", "draw_phantom_archive"]
