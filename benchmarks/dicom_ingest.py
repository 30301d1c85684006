# SPDX-License-Identifier: Apache-2.0
"""Time ``read_radiograph`` against MONAI's default ``LoadImage`` on a 2500 x 2048 radiograph.

    python benchmarks/dicom_ingest.py [--repeats 9]

Both read the same files by turns, one reading each, in one process with one thread: that is judged.
Each then pays for memory pages that the other gave back, so the ratio in runs of four (the first
does not count), as in a data loader that reads with one of them, is printed beside it. Medians of
CPU times, which a busy machine disturbs less than the clock on the wall. Ours
includes the window and the polarity of MONOCHROME1, which MONAI's does not apply. ``LoadImage``
uses ITK when it is installed and pydicom otherwise; what was used is printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import numpy as np
import torch
from monai.transforms import LoadImage
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from monai_kd.data import read_radiograph

GOALS = {"raw": 5.0, "RLE": 20.0}
SIZE = (2500, 2048)


def draw_files(folder: Path) -> dict[str, Path]:
    """Write a smooth 12 bit MONOCHROME1 picture with noise and a window, raw and RLE.

    Args:
        folder: where the files go.
    """
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    noise = np.random.default_rng(0).normal(0, 20, SIZE)
    pixels = (2000 + 1500 * np.sin(x / 300) * np.cos(y / 400) + noise).clip(0, 4095)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME1"
    dataset.Rows, dataset.Columns = SIZE
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelSpacing = [0.168, 0.168]
    dataset.WindowCenter, dataset.WindowWidth = 2048, 3000
    dataset.PixelData = pixels.astype("<u2").tobytes()
    files = {"raw": folder / "raw.dcm", "RLE": folder / "rle.dcm"}
    dcmwrite(files["raw"], dataset, enforce_file_format=True)
    compressed = dcmread(files["raw"])
    compressed.compress(RLELossless)
    compressed.save_as(files["RLE"])
    return files


def compare(path: Path, rounds: int, *, turn: int) -> tuple[float, float]:
    """Return the median CPU seconds of MONAI's loader and of ours, taken in turns.

    Args:
        path: file to read.
        rounds: turns of each; one more of each comes first and does not count.
        turn: readings per turn; the first does not count when there are several.
    """
    loader = LoadImage(image_only=True)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for read, seconds in zip((loader, read_radiograph), times, strict=True):
            taken = []
            for _ in range(turn):
                start = time.process_time()
                read(path)
                taken.append(time.process_time() - start)
            if number:
                seconds.extend(taken[1:] or taken)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Print one line per kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each reader")
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    has_itk = find_spec("itk") is not None
    print(f"{platform.machine()}, 1 thread, CPU times; monai {version('monai')}")
    if has_itk:
        print("LoadImage picks its ITKReader.")
    else:
        print("ITK is not installed: LoadImage picks its PydicomReader. The goal for RLE is stated")
        print("against the ITKReader and is not judged here (pip install itk to see it).")
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in draw_files(Path(folder)).items():
            monai, ours = compare(path, repeats, turn=1)
            steady_monai, steady_ours = compare(path, repeats, turn=4)
            judged = has_itk or kind == "raw"
            verdict = ("reached" if monai / ours >= GOALS[kind] else "MISSED") if judged else "-"
            print(
                f"{kind:4s} LoadImage {monai * 1e3:7.1f} ms, read_radiograph {ours * 1e3:6.1f} ms: "
                f"{monai / ours:5.1f} times as fast (goal {GOALS[kind]:.0f}: {verdict}; "
                f"in runs {steady_monai / steady_ours:.1f})"
            )


if __name__ == "__main__":
    main()
