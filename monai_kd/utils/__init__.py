# SPDX-License-Identifier: Apache-2.0
"""Shared by all rooms, imports none of them."""

from monai_kd.utils.checks import MonaiKDError, check_choice, check_same_shape, did_you_mean
from monai_kd.utils.files import (
    sha256_of_file,
    write_atomically,
    write_sha256sums,
    write_text_atomically,
)

__all__ = [
    "MonaiKDError",
    "check_choice",
    "check_same_shape",
    "did_you_mean",
    "sha256_of_file",
    "write_atomically",
    "write_sha256sums",
    "write_text_atomically",
]
