# SPDX-License-Identifier: Apache-2.0
"""A progress bar with the time left and the loss, on a terminal only."""

from __future__ import annotations

import sys

from ignite.engine import Engine
from ignite.handlers.tqdm_logger import ProgressBar

from monai_kd.utils.distributed import is_main_process

__all__ = ["TerminalProgress"]


class TerminalProgress:
    """Show Ignite's progress bar when a person watches; stay quiet in a log file.

    Args:
        description: put before the bar, e.g. ``"student"``.
    """

    def __init__(self, description: str) -> None:
        self.description = description

    def attach(self, engine: Engine) -> None:
        """Attach the bar if standard error is a terminal and this is the main process.

        Args:
            engine: the trainer.
        """
        if not (sys.stderr.isatty() and is_main_process()):
            return
        bar = ProgressBar(persist=False, desc=self.description)
        bar.attach(engine, output_transform=lambda output: {"loss": float(output["loss"])})
