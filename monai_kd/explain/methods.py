# SPDX-License-Identifier: Apache-2.0
"""One call that explains a detector, a CNN or a vision transformer."""

from __future__ import annotations

from torch import Tensor, nn

from monai_kd.explain.attention import attention_relevance, attention_rollout, has_attention
from monai_kd.explain.cam import FeatureClassifier, grad_cam, grad_cam_plus_plus
from monai_kd.explain.detection_map import MapClassifier, detection_map
from monai_kd.utils import check_choice

__all__ = ["EXPLAIN_METHODS", "choose_method", "explain"]

EXPLAIN_METHODS = {
    "grad_cam": grad_cam,
    "grad_cam++": grad_cam_plus_plus,
    "rollout": attention_rollout,
    "relevance": attention_relevance,
    "map": detection_map,
}
"""Two for networks of convolutions, two for vision transformers, the last for detectors."""


def explain(
    network: nn.Module, image: Tensor, *, finding: int | Tensor, method: str = "auto"
) -> Tensor:
    """Return where the network sees a finding.

    Args:
        network: in two halves, see :func:`monai_kd.explain.grad_cam`, a transformer that shows its
            attention, see :func:`monai_kd.explain.attention_relevance`, or a detector, see
            :func:`monai_kd.explain.detection_map`. Left as it was.
        image: ``(B, channels, H, W)``, on the network's device.
        finding: column of the logits, for all images, or one for each, ``(B,)``, or several for
            each, ``(B, K)``.
        method: ``"grad_cam"``, ``"grad_cam++"``, ``"rollout"``, ``"relevance"``, ``"map"``, or
            ``"auto"``, see :func:`choose_method`.

    Returns:
        Maps, ``(B, 1, H, W)`` or ``(B, K, H, W)``, float32 in [0, 1] with a peak of 1, or all 0
        where nothing speaks for the finding.

    Raises:
        TypeError: if the network cannot be asked in this way.
        ValueError: if ``method`` is unknown, or ``finding`` is not a column of the logits.
    """
    return EXPLAIN_METHODS[choose_method(network, method)](network, image, finding=finding)


def choose_method(network: nn.Module, method: str = "auto") -> str:
    """Return the name of the method that :func:`explain` uses.

    Args:
        network: see :func:`explain`.
        method: a name, which is given back, or ``"auto"``: its own map for a detector, relevance
            for a transformer, Grad-CAM for a network in two halves.

    Raises:
        TypeError: if ``"auto"`` finds none of them.
        ValueError: if ``method`` is unknown.
    """
    check_choice("explain", "method", method, ["auto", *EXPLAIN_METHODS])
    if method != "auto":
        return method
    if isinstance(network, MapClassifier):
        return "map"
    if has_attention(network):
        return "relevance"
    if isinstance(network, FeatureClassifier):
        return "grad_cam"
    raise TypeError(
        "explain: `network` must have `forward_map`, `forward_attention`, or `forward_features` "
        f"and `forward_head`, got {type(network).__name__}. Build it with "
        "monai_kd.networks.build_backbone, or give it one of these methods."
    )
