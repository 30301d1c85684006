# SPDX-License-Identifier: Apache-2.0
"""The delivered model in forms that run without this package, and how far they are from it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ckpt_export, onnx_export
from torch import Tensor, nn

from monai_kd.engines.candidate_network import CandidateNetwork
from monai_kd.engines.delivered import load_model
from monai_kd.networks import AALSNetwork, build_aals_network, build_backbone
from monai_kd.utils import MonaiKDError, read_json, read_settings

__all__ = ["ExportedModel", "export_model"]

_FORMATS = ("torchscript", "onnx")
_FILMS = 4
_AALS = "cxr_aals_fracture_detection"
_MOVED = 0.01  # pixels that no rounding explains

Answers = Mapping[str, Tensor]


@dataclass(frozen=True)
class ExportedModel:
    """One exported file and its distance from the model it was made of.

    Args:
        path: the file.
        largest_difference: of any logit, probability or score, on random images.
        boxes: how many candidates were compared, of a model that gives candidates.
        moved_boxes: of how many the box lies elsewhere: where a cell is just as high as a box's
            edge, or two candidates are equally high, the last digit decides.
    """

    path: Path
    largest_difference: float
    boxes: int = 0
    moved_boxes: int = 0


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
    network = _build(settings)
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
    if not isinstance(network, AALSNetwork):
        return [_EXPORTS[name](network, ("logits",), run, given) for name in formats]
    points = read_json(run / "operating_points.json") or {"radius": settings.get("radius", 6)}
    chosen = {name: points[name] for name in ("radius", "share") if name in points}
    whole = CandidateNetwork(network, **chosen)
    with _weights_of(whole) as path:
        given |= {"net_id": "candidate_network", "ckpt_file": path}
        return [_EXPORTS[name](whole, ("prob", "score", "box"), run, given) for name in formats]


def _build(settings: Mapping[str, Any]) -> nn.Module:
    """The network of a run, as its bundle's ``network_def`` has it."""
    if settings.get("bundle") == _AALS:
        return build_aals_network(
            settings["backbone"],
            num_findings=len(settings["findings"]),
            channels=settings.get("channels", 256),
            norm=settings.get("norm", "batch"),
            pooling=settings.get("pooling", "max"),
        )
    return build_backbone(
        settings["backbone"],
        num_findings=len(settings["findings"]),
        dropout=settings["dropout"],
        head=settings.get("head", "linear"),
    )


@contextmanager
def _weights_of(network: nn.Module) -> Iterator[str]:
    """A file of weights that MONAI can load into a network which holds the delivered one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        torch.save(network.state_dict(), path)
        yield str(path)


def _export_torchscript(
    network: nn.Module, names: tuple[str, ...], run: Path, given: dict[str, Any]
) -> ExportedModel:
    path = run / "model.ts"
    ckpt_export(filepath=str(path), **given)
    scripted = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def answer(image: Tensor) -> Answers:
        return _named(names, scripted(image))

    return _compared(path, network, names, answer, given["input_shape"])


def _export_onnx(
    network: nn.Module, names: tuple[str, ...], run: Path, given: dict[str, Any]
) -> ExportedModel:
    try:
        import onnxruntime
    except ImportError as error:
        raise MonaiKDError(
            "export: ONNX needs packages that are not installed. Run `pip install monai-kd[onnx]`."
        ) from error
    path = run / "model.onnx"
    options: dict[str, Any] = {
        "input_names": ["image"],
        "output_names": list(names),
        "dynamic_axes": {name: {0: "batch"} for name in ("image", *names)},  # any number of films
    }
    if isinstance(network, CandidateNetwork):  # its loops and checks are for a tracer
        options["dynamo"] = False
    onnx_export(filepath=str(path), converter_kwargs=options, use_trace=True, **given)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(image: Tensor) -> Answers:
        given_out = session.run(None, {"image": image.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(names, given_out, strict=True)}

    return _compared(path, network, names, answer, given["input_shape"])


_EXPORTS = {"torchscript": _export_torchscript, "onnx": _export_onnx}


@torch.no_grad()
def _compared(
    path: Path,
    network: nn.Module,
    names: tuple[str, ...],
    exported: Callable[[Tensor], Answers],
    shape: list[int],
) -> ExportedModel:
    """Compare on batches of two sizes, so that an export for one size alone would fail."""
    network.eval()
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    largest, boxes, moved = 0.0, 0, 0
    for batch in (images, images[:1]):
        ours, theirs = _named(names, network(batch)), exported(batch)
        for name in names:
            difference = (ours[name] - theirs[name]).abs()
            if name == "box":
                boxes += int((ours["score"] > 0).sum())
                moved += int((difference.amax(-1) > _MOVED).sum())
            else:
                largest = max(largest, float(difference.max()))
    return ExportedModel(path, largest, boxes, moved)


def _named(names: tuple[str, ...], answer: Tensor | tuple[Tensor, ...]) -> Answers:
    given = (answer,) if isinstance(answer, Tensor) else answer
    return dict(zip(names, given, strict=True))
