# SPDX-License-Identifier: Apache-2.0
"""What happens to one image and its regions (dictionary transforms only)."""

from monai_kd.transforms.load import LoadRadiographd

__all__ = [
    "LoadRadiographd",
]
