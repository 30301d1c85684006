# SPDX-License-Identifier: Apache-2.0
"""The command line, ``python -m monai_kd``: thin commands that import what they need late."""

__all__: list[str] = []
