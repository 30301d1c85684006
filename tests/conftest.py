# SPDX-License-Identifier: Apache-2.0
"""What every test may rely on, whichever ran before it in the same process."""

import logging

import pytest


@pytest.fixture(autouse=True)
def loggers_that_speak():
    """A bundle's logging.conf silences the loggers that exist when it is read; undo that."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("monai_kd") and isinstance(logger, logging.Logger):
            logger.disabled = False
