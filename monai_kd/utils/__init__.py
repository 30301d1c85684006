# SPDX-License-Identifier: Apache-2.0
"""Shared by all rooms, imports none of them.

What needs torch (``distributed``, ``rng``, ``precision``) is imported from its own module, so that
the command line starts without it.
"""

from monai_kd.utils.checks import (
    MonaiKDError,
    TrainingCollapseError,
    as_bool,
    check_choice,
    check_same_shape,
    did_you_mean,
    pick,
)
from monai_kd.utils.files import (
    sha256_of_file,
    slug,
    write_atomically,
    write_sha256sums,
    write_text_atomically,
)
from monai_kd.utils.guard import guard_config, unknown_settings
from monai_kd.utils.model_files import finish_model_files, save_model
from monai_kd.utils.precision import choose_precision
from monai_kd.utils.root_cause import (
    describe_error,
    install_error_hook,
    root_cause,
    wants_traceback,
)
from monai_kd.utils.schedules import Schedule, constant, cosine, linear
from monai_kd.utils.settings import read_json, read_settings, write_settings

__all__ = [
    "MonaiKDError",
    "Schedule",
    "TrainingCollapseError",
    "as_bool",
    "check_choice",
    "check_same_shape",
    "choose_precision",
    "constant",
    "cosine",
    "describe_error",
    "did_you_mean",
    "finish_model_files",
    "guard_config",
    "install_error_hook",
    "linear",
    "pick",
    "read_json",
    "read_settings",
    "root_cause",
    "save_model",
    "sha256_of_file",
    "slug",
    "unknown_settings",
    "wants_traceback",
    "write_atomically",
    "write_settings",
    "write_sha256sums",
    "write_text_atomically",
]
