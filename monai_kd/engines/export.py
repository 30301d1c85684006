# SPDX-License-Identifier: Apache-2.0
"""The delivered model in forms that run without this package, and how far they are from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ckpt_export, onnx_export
from torch import Tensor, nn

from monai_kd.engines.delivered import load_model
from monai_kd.networks import build_backbone
from monai_kd.utils import MonaiKDError, read_settings

__all__ = ["ExportedModel", "export_model"]

_FORMATS = ("torchscript", "onnx")
_FILMS = 4


@dataclass(frozen=True)
class ExportedModel:
    """One exported file and its distance from the model it was made of.

    Args:
        path: the file.
        largest_difference: of any logit, on random images.
    """

    path: Path
    largest_difference: float


def export_model(
    run_dir: str | os.PathLike[str],
    *,
    bundle_root: str | os.PathLike[str],
    formats: tuple[str, ...] = _FORMATS,
) -> list[ExportedModel]:
    """Export ``model.pt`` of a run by MONAI's ``ckpt_export`` and ``onnx_export``, and compare.

    Args:
        run_dir: run directory; gets ``model.ts`` and ``model.onnx``.
        bundle_root: folder of the bundle that trained it.
        formats: of ``"torchscript"`` and ``"onnx"``, what is wanted.

    Returns:
        One entry per format, in that order.

    Raises:
        MonaiKDError: if the run holds no model, or what ONNX needs is not installed.
    """
    run, bundle = Path(run_dir), Path(bundle_root)
    settings = read_settings(run)
    if not (run / "model.pt").is_file() or "backbone" not in settings:
        raise MonaiKDError(
            "export: the run directory must hold model.pt and config.json, got a folder without. "
            "Train first, and give the `output_dir` of that training."
        )
    network = build_backbone(
        settings["backbone"],
        num_findings=len(settings["findings"]),
        dropout=settings["dropout"],
        head=settings.get("head", "linear"),
    )
    load_model(network, run / "model.pt")
    side = int(settings["spatial_size"])
    given: dict[str, Any] = {
        "net_id": "network_def",
        "ckpt_file": str(run / "model.pt"),
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "config_file": str(bundle / "configs" / "inference.json"),
        "input_shape": [_FILMS, 1, side, side],
        "bundle_root": str(bundle),
        "model_dir": str(run),
    }
    return [_EXPORTS[name](network, run, given) for name in formats]


def _export_torchscript(network: nn.Module, run: Path, given: dict[str, Any]) -> ExportedModel:
    path = run / "model.ts"
    ckpt_export(filepath=str(path), **given)
    scripted = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    return ExportedModel(path, _largest_difference(network, scripted, given["input_shape"]))


def _export_onnx(network: nn.Module, run: Path, given: dict[str, Any]) -> ExportedModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise MonaiKDError(
            "export: ONNX needs packages that are not installed. Run `pip install monai-kd[onnx]`."
        ) from error
    path = run / "model.onnx"
    options = {
        "input_names": ["image"],
        "output_names": ["logits"],
        "dynamic_axes": {"image": {0: "batch"}, "logits": {0: "batch"}},  # any number of films
    }
    onnx_export(filepath=str(path), converter_kwargs=options, use_trace=True, **given)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(image: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"image": image.numpy()})[0])

    return ExportedModel(path, _largest_difference(network, answer, given["input_shape"]))


_EXPORTS = {"torchscript": _export_torchscript, "onnx": _export_onnx}


@torch.no_grad()
def _largest_difference(
    network: nn.Module, exported: Callable[[Tensor], Tensor], shape: list[int]
) -> float:
    """Compare on batches of two sizes, so that an export for one size alone would fail."""
    network.eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=generator)
    return max(
        float((network(batch) - exported(batch)).abs().max()) for batch in (images, images[:1])
    )
