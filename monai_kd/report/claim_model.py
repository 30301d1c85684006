# SPDX-License-Identifier: Apache-2.0
"""What a run can answer of the checklist on model, training, and where to find them."""

from __future__ import annotations

from monai_kd.report.claim_answer import Answer, known, not_known, partly
from monai_kd.report.common import is_detector, method_name
from monai_kd.report.run_files import RunFiles

__all__ = [
    "availability",
    "chosen",
    "ensembles",
    "initialized",
    "model",
    "protocol",
    "software",
    "training",
]

_TRAINING = (
    "max_epochs",
    "teacher_epochs",
    "first_stage_epochs",
    "batch_size",
    "learning_rate",
    "second_learning_rate",
    "augmentation",
    "seed",
)


def model(run: RunFiles) -> Answer:
    """Return network and method.

    Args:
        run: what the run directory holds.
    """
    backbone = run.config.get("backbone")
    if not backbone:
        return not_known()
    method = method_name(run)
    size = run.config.get("spatial_size")
    image = f"one gray image of {size} x {size} pixels" if size else "one gray image"
    maps = " with a feature pyramid and one map per finding" if is_detector(run) else ""
    return known(f"{backbone}{maps} on {image}. {method}. All settings are recorded.")


def software(run: RunFiles) -> Answer:
    """Return the versions.

    Args:
        run: what the run directory holds.
    """
    versions = run.config.get("versions")
    if not versions:
        return not_known()
    return known(", ".join(f"{name} {version}" for name, version in versions.items()) + ".")


def initialized(run: RunFiles) -> Answer:
    """Return whether training began at random or at weights of somewhere else.

    Args:
        run: what the run directory holds.
    """
    if "pretrained" not in run.config and "pretrained_path" not in run.config:
        return not_known()
    if run.config.get("pretrained") or run.config.get("pretrained_path"):
        return partly("Pretrained weights from a local file. What they were trained on: not known.")
    seed = run.config.get("seed")
    return known("At random" + ("." if seed is None else f", seed {seed}."))


def training(run: RunFiles) -> Answer:
    """Return the settings that matter most.

    Args:
        run: what the run directory holds.
    """
    told = [
        f"{name.replace('_', ' ')} {run.config[name]}" for name in _TRAINING if name in run.config
    ]
    if not told:
        return not_known()
    return known("; ".join(told) + (". Curves are on the page." if run.curves else "."))


def chosen(run: RunFiles) -> Answer:
    """Return how the weights that are evaluated were chosen.

    Args:
        run: what the run directory holds.
    """
    if "validation" not in (run.config.get("data") or {}):
        return not_known()
    return known("The best epoch on the validation section; its films are in no other section.")


def ensembles(run: RunFiles) -> Answer:
    """Return that one network answers, once there is one.

    Args:
        run: what the run directory holds.
    """
    network = run.config.get("backbone") or run.evaluation.get("model_sha256")
    if not network and "model.pt" not in run.hashes:
        return not_known()
    return known("None: the weights of one training give the answer.")


def protocol(run: RunFiles) -> Answer:
    """Return where the details stand.

    Args:
        run: what the run directory holds.
    """
    if not run.config:
        return not_known()
    return partly("Every setting is recorded with the run. A study protocol: not known.")


def availability(run: RunFiles) -> Answer:
    """Return what of the work is open.

    Args:
        run: what the run directory holds.
    """
    if run.config.get("synthetic"):
        return known("Software: monai_kd, Apache-2.0. Data: drawn again by the same seed.")
    return partly("Software: monai_kd, Apache-2.0. The trained model and the data: not known.")
