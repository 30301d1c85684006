# SPDX-License-Identifier: Apache-2.0
"""Label-efficient radiograph models by knowledge distillation, as MONAI bundles."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
