# SPDX-License-Identifier: Apache-2.0
"""Start the command line: ``python -m monai_kd``."""

from __future__ import annotations

import sys

from monai_kd.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
