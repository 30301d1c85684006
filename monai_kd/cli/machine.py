# SPDX-License-Identifier: Apache-2.0
"""What this machine has: packages, codecs, memory, disk, processors, and how fast they are."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Finding", "codecs", "compute", "packages", "system"]

_GIB = 1 << 30
_OLDEST_PYTHON = (3, 10)
_DICOM_EXTRA = (
    'pip install "monai-kd[dicom]" (its part pylibjpeg-libjpeg, which decodes JPEG and JPEG-LS, is '
    "GPL-3.0)"
)
# What makes a kind of file readable; plugins that read only some files of the kind are left out.
_SYNTAXES = (
    ("uncompressed", "1.2.840.10008.1.2.1", ()),
    ("RLE", "1.2.840.10008.1.2.5", ()),
    ("JPEG baseline (8 bit)", "1.2.840.10008.1.2.4.50", ()),
    ("JPEG extended (12 bit)", "1.2.840.10008.1.2.4.51", ("pillow",)),
    ("JPEG lossless", "1.2.840.10008.1.2.4.70", ()),
    ("JPEG-LS", "1.2.840.10008.1.2.4.80", ()),
    ("JPEG 2000", "1.2.840.10008.1.2.4.90", ()),
)
# Multiply-adds of one image forward, in 1e9, and how well it uses the units next to a plain
# convolution.
_NETWORKS = (("convnext_small", 224, 8.7, 0.6), ("resnet18", 128, 0.6, 0.6))
_BATCH = 16
_SLOW_STEP_SECONDS = 1.0


@dataclass
class Finding:
    """One line of the report.

    Args:
        name: what was looked at.
        value: what was found.
        state: ``"ok"``, ``"note"`` (works, but slowly or not for every file) or ``"missing"``
            (essential, and not there).
        hint: what to do about it; empty when nothing is to be done.
        details: the same as numbers, for programs.
    """

    name: str
    value: str
    state: str = "ok"
    hint: str = ""
    details: dict[str, str | float | bool] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return the finding as JSON has it."""
        return asdict(self)


def packages() -> list[Finding]:
    """Return Python and each package that the project needs, against the tested set."""
    tested = _tested_versions()
    found = [_python()]
    for name, floor in sorted(_requirements().items()):
        found.append(_package(name, floor, tested.get(name, "")))
    return found


def codecs() -> list[Finding]:
    """Return which kinds of compressed DICOM files can be read here."""
    try:
        from pydicom.pixels import get_decoder
        from pydicom.uid import UID
    except ImportError:
        return [Finding("DICOM", "pydicom is not installed", "missing", "pip install pydicom")]
    found = []
    for name, uid, partial in _SYNTAXES:
        plugins = [p for p in get_decoder(UID(uid)).available_plugins if p not in partial]
        if plugins or name == "uncompressed":
            found.append(Finding(name, f"can be read ({', '.join(plugins) or 'pydicom'})"))
        else:
            found.append(Finding(name, "cannot be read", "note", _DICOM_EXTRA))
    return found


def system(output: Path) -> list[Finding]:
    """Return processor cores, memory, disk space and whether the folder can be written.

    Args:
        output: folder that a run will write to; its nearest existing parent is looked at.
    """
    folder = output.absolute()
    while not folder.exists():
        folder = folder.parent
    return [_cores(), _memory(), *_shared_memory(), _disk(folder), _write_access(folder)]


def compute() -> list[Finding]:
    """Return GPU, half precision and estimated step times; imports torch and measures."""
    try:
        import torch
    except (ImportError, OSError) as error:
        hint = "pip install -c constraints.txt -e . (see README)"
        return [Finding("torch", f"cannot be imported: {error}", "missing", hint)]
    if torch.cuda.is_available():
        return [_gpu(index) for index in range(torch.cuda.device_count())]
    hint = "With a GPU, install the torch build for it; training on CPU works, but slowly."
    return [Finding("GPU", "none that torch can use", "note", hint), _half(), *_step_times()]


def _python() -> Finding:
    version = platform.python_version()
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", version, "missing", f"Use Python {wanted} or newer.")
    return Finding("python", f"{version} (needs >= {wanted})")


def _requirements() -> dict[str, str]:
    """Return each required package with its oldest version."""
    try:
        lines = importlib.metadata.requires("monai-kd") or []
    except importlib.metadata.PackageNotFoundError:
        lines = ["monai>=1.6", "torch>=2.8", "pytorch-ignite", "numpy", "pydicom>=3"]
    required = {}
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        if name and "extra ==" not in line:
            required[name[0].lower()] = _floor(line)
    return required


def _floor(line: str) -> str:
    match = re.search(r">=\s*([\w.]+)", line)
    return match[1] if match else ""


def _tested_versions() -> dict[str, str]:
    """Return the versions of constraints.txt, or nothing when the package stands without it."""
    file = Path(__file__).parents[2] / "constraints.txt"
    if not file.is_file():
        return {}
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {name.lower(): version for name, version in pins}


def _package(name: str, floor: str, tested: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", "missing", f'pip install "{name}>={floor or "0"}"')
    if floor and _numbers(version) < _numbers(floor):
        return Finding(name, f"{version} (needs >= {floor})", "missing", f"Update {name}.")
    same = not tested or _numbers(version) == _numbers(tested)
    value = f"{version} (tested)" if tested and same else version
    hint = "" if same else f"The tested version is {tested}."
    return Finding(name, value, "ok" if same else "note", hint)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]
    while numbers and numbers[-1] == 0:  # 3 and 3.0 are the same version
        numbers.pop()
    return tuple(numbers)


def _cores() -> Finding:
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return Finding("processor cores", str(cores), details={"cores": cores})


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return Finding("memory", "not known on this system")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="ascii").strip()).isdigit():
        total = min(total, int(text))
    value, details = f"{total / _GIB:.1f} GiB", {"bytes": total}
    if total < 4 * _GIB:
        hint = "Below 4 GiB: use small images and num_workers 0."
        return Finding("memory", value, "note", hint, {**details})
    return Finding("memory", value, details={**details})


def _shared_memory() -> list[Finding]:
    folder = Path("/dev/shm")  # not a temporary file: the space of worker processes
    if not folder.is_dir():
        return []
    free = shutil.disk_usage(folder).free
    if free >= _GIB:
        return [Finding("shared memory", f"{free / _GIB:.1f} GiB free")]
    hint = "Data loader workers may run out of it: use num_workers 0, or --shm-size in a container."
    return [Finding("shared memory", f"{free / _GIB:.2f} GiB free", "note", hint)]


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    value = f"{free / _GIB:.1f} GiB free in {folder}"
    if free < _GIB:
        hint = "A run needs about 1 GiB: free space, or choose another folder with --output."
        return Finding("disk", value, "missing", hint)
    return Finding("disk", value, details={"bytes": free})


def _write_access(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding("write access", f"yes, in {folder}")
    except OSError as error:
        value = f"no, in {folder} ({error.strerror})"
        return Finding("write access", value, "missing", "Choose another folder with --output.")


def _gpu(index: int) -> Finding:
    import torch

    from monai_kd.utils.precision import choose_precision

    gpu = torch.cuda.get_device_properties(index)
    precision = choose_precision("auto", f"cuda:{index}")
    value = f"{gpu.name}, {gpu.total_memory / _GIB:.0f} GiB, precision auto = {precision}"
    return Finding(f"GPU {index}", value, details={"bytes": gpu.total_memory})


def _half() -> Finding:
    from monai_kd.utils.precision import bfloat16_speedup, choose_precision

    speedup, choice = bfloat16_speedup(), choose_precision("auto", "cpu")
    value = f"bfloat16 is {speedup:.2f} times as fast as float32 here; precision auto = {choice}"
    return Finding("bfloat16", value, details={"speedup": speedup})


def _step_times() -> list[Finding]:
    """Estimate a training step of two networks from the measured speed of a convolution."""
    speed = _convolution_speed()
    found = []
    for name, size, multiply_adds, share in _NETWORKS:
        seconds = 6e9 * multiply_adds * _BATCH / (speed * share)  # 2 operations, 3 passes
        value = f"about {seconds:.2g} s a step of {_BATCH} images on CPU (estimated, float32)"
        slow = seconds > _SLOW_STEP_SECONDS
        hint = "Slow: use resnet18 at 128 px, or a GPU." if slow and name != "resnet18" else ""
        state, details = "note" if hint else "ok", {"seconds": seconds}
        found.append(Finding(f"{name} at {size} px", value, state, hint, {**details}))
    return found


def _convolution_speed() -> float:
    """Return the operations per second of a convolution, forward and backward."""
    import torch

    layer = torch.nn.Conv2d(64, 64, 3, padding=1)
    image = torch.zeros(4, 64, 56, 56, requires_grad=True)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        layer(image).sum().backward()
        best = min(best, time.perf_counter() - start)
    return 6 * image.numel() * 64 * 9 / best
