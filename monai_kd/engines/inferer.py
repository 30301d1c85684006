# SPDX-License-Identifier: Apache-2.0
"""The student's forward pass in the precision that was chosen for this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor

from monai_kd.utils import check_choice

__all__ = ["PrecisionInferer"]


class PrecisionInferer(Inferer):
    """Run a network in float32 or, by autocast, in bfloat16; answer in float32 either way.

    MONAI's own mixed precision is CUDA's float16 with a gradient scaler (``amp=True``); this adds
    bfloat16, which needs no scaler and exists on CPUs too. Losses always see float32.

    Args:
        precision: ``"float32"``, ``"bfloat16"``, or ``"float16"`` (left to ``amp=True``).

    Raises:
        ValueError: if ``precision`` is another word.
    """

    def __init__(self, precision: str = "float32") -> None:
        super().__init__()
        check_choice("PrecisionInferer", "precision", precision, ("float32", "bfloat16", "float16"))
        self.precision = precision

    def __call__(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        network: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Return the network's answer, a tensor or a dictionary of tensors, in float32.

        Args:
            inputs: images, ``(B, C, *spatial)``, or several views of them by name.
            network: called with them.
            args: further arguments of the network.
            kwargs: further keyword arguments of the network.
        """
        if self.precision != "bfloat16":
            return network(inputs, *args, **kwargs)
        first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
        with torch.autocast(first.device.type, dtype=torch.bfloat16):
            answer = network(inputs, *args, **kwargs)
        if isinstance(answer, Mapping):
            return {name: value.float() for name, value in answer.items()}
        return answer.float()
