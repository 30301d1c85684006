# SPDX-License-Identifier: Apache-2.0
"""DICOM: the same picture is the same array however it is stored; nothing tells whose it is."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from monai_kd.data import RadiographError, read_radiograph, stored_pixels_sha256

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "dicom_radiographs"
CR = "1.2.840.10008.5.1.4.1.1.1"
WINDOW = {"WindowCenter": 2000.0, "WindowWidth": 2500.0}
TOP = 4095


def picture(height=40, width=56):
    """12 bit, no symmetry, every corner different."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 200, (height, width))
    return (x * 60 + y * 12 + noise).clip(0, TOP).astype(np.uint16)


def write_dicom(path, pixels, *, syntax=ExplicitVRLittleEndian, preamble=True, **changes):
    """Write one CR file; each test changes the elements that it is about (None leaves one out)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CR
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    elements = {
        "Modality": "CR",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 12,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    } | changes
    elements.setdefault("HighBit", elements["BitsStored"] - 1)
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
        if syntax.is_encapsulated:
            dataset["PixelData"].VR = "OB"
    if preamble:
        dcmwrite(path, dataset, enforce_file_format=True)
    else:
        del dataset.file_meta
        dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
    return path


def table(first, entries, bits=16):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) & 0xFFFF, first, bits])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return [item]


def oracle(path):
    """pydicom's own chain; its output range follows from the header, see PS3.3 C.11.2."""
    dataset = dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    return np.asarray(shown, dtype=np.float64)


def jpeg_lossless(pixels, precision=12):
    """Encode by JPEG process 14, predictor 1 (ITU-T T.81, annex H), all codes five bits long."""
    values, bits = pixels.astype(int), []
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if column:
                predicted = values[row, column - 1]
            else:
                predicted = values[row - 1, 0] if row else 1 << (precision - 1)
            difference = values[row, column] - predicted
            size = int(abs(difference)).bit_length()
            bits.append(f"{size:05b}")
            if size:
                extra = difference if difference > 0 else difference + (1 << size) - 1
                bits.append(f"{extra:0{size}b}")
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    height, width = pixels.shape
    frame = bytes([precision]) + height.to_bytes(2, "big") + width.to_bytes(2, "big")
    lengths = bytes([0, 0, 0, 0, 17] + [0] * 11)
    code_table = b"\xff\xc4" + (2 + 1 + 16 + 17).to_bytes(2, "big") + b"\0" + lengths
    return b"".join(
        [
            b"\xff\xd8\xff\xc3\x00\x0b" + frame + b"\x01\x01\x11\x00",
            code_table + bytes(range(17)),
            b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00" + data + b"\xff\xd9",
        ]
    )


def reference():
    """The window of PS3.3 C.11.2.1.2.1 written out for the picture."""
    shown = (picture() - (2000 - 0.5)) / (2500 - 1) + 0.5
    return shown.clip(0, 1)


def turned(**changes):
    """Stored the other way round: value v is stored as 4095 - v."""
    return {"pixels": TOP - picture(), **changes}


WAYS = {
    "raw": dict(WINDOW),
    "implicit": {"syntax": ImplicitVRLittleEndian, **WINDOW},
    "deflated": {"syntax": DeflatedExplicitVRLittleEndian, **WINDOW},
    "big endian": {
        "syntax": ExplicitVRBigEndian,
        "PixelData": picture().astype(">u2").tobytes(),
        **WINDOW,
    },
    "no preamble": {"preamble": False, **WINDOW},
    "monochrome1": turned(
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=TOP + 1 - 2000.0,
        WindowWidth=2500.0,
    ),
    "monochrome1 and inverse": turned(
        PhotometricInterpretation="MONOCHROME1",
        PresentationLUTShape="INVERSE",
        WindowCenter=TOP + 1 - 2000.0,
        WindowWidth=2500.0,
    ),
    "inverse": turned(
        PresentationLUTShape="INVERSE", WindowCenter=TOP + 1 - 2000.0, WindowWidth=2500.0
    ),
    "slope -1": turned(RescaleSlope=-1, RescaleIntercept=TOP, **WINDOW),
    "slope 0.5": {
        "RescaleSlope": 0.5,
        "RescaleIntercept": -100,
        "VOILUTFunction": "LINEAR_EXACT",
        "WindowCenter": (2000 - 0.5) * 0.5 - 100,
        "WindowWidth": 2499 * 0.5,
    },
    "signed": {
        "pixels": picture().astype(np.int16) - 2048,
        "WindowCenter": 2000.0 - 2048,
        "WindowWidth": 2500.0,
    },
    "signed in 12 bits": {
        "pixels": ((picture().astype(np.int16) - 2048) & 0xFFF).astype(np.uint16),
        "PixelRepresentation": 1,
        "WindowCenter": 2000.0 - 2048,
        "WindowWidth": 2500.0,
    },
    "overlay in unused bits": {"pixels": picture() | 0xA000, **WINDOW},
    "high bit 15": {"pixels": picture() << 4, "HighBit": 15, **WINDOW},
    "32 bit": {"pixels": picture().astype(np.uint32), **WINDOW},
    "modality table": turned(ModalityLUTSequence=table(0, range(TOP, -1, -1)), **WINDOW),
    "signed modality table": {
        "pixels": picture().astype(np.int16) - 2048,
        "ModalityLUTSequence": table(-2048, range(TOP + 1)),
        **WINDOW,
    },
    "several windows": {"WindowCenter": [2000, 1000], "WindowWidth": [2500, 10]},
    "padding": {"PixelPaddingValue": int(picture().max()), **WINDOW},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_the_same_picture_is_the_same_array_however_it_is_stored(tmp_path, way):
    way = dict(way)
    path = write_dicom(tmp_path / "a", way.pop("pixels", picture()), **way)
    radiograph = read_radiograph(path)
    expected = reference()
    if "PixelPaddingValue" in way:
        expected = np.where(picture() == picture().max(), 0, expected)
    np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-6)
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.tags["voi"] == "window"


@pytest.mark.parametrize("compression", ["rle", "jpeg 2000", "jpeg lossless"])
def test_lossless_compression_changes_nothing(tmp_path, compression):
    raw = write_dicom(tmp_path / "raw", picture(), **WINDOW)
    if compression == "jpeg lossless":
        data = encapsulate([jpeg_lossless(picture())])
        path = write_dicom(
            tmp_path / "a", picture(), syntax=JPEGLosslessSV1, PixelData=data, **WINDOW
        )
    else:
        dataset = dcmread(raw)
        dataset.compress(RLELossless if compression == "rle" else JPEG2000Lossless)
        dataset.save_as(path := tmp_path / "a")
    np.testing.assert_array_equal(read_radiograph(path).pixels, read_radiograph(raw).pixels)
    assert stored_pixels_sha256(path) == stored_pixels_sha256(raw)


def test_a_voi_table_goes_before_the_window(tmp_path):
    curve = (np.linspace(0, 1, TOP + 1) ** 2 * TOP).astype(int)
    path = write_dicom(tmp_path / "a", picture(), VOILUTSequence=table(0, curve, 12), **WINDOW)
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, oracle(path) / TOP, atol=1e-6)
    assert radiograph.tags["voi"] == "lut"
    assert read_radiograph(path, policy="window").tags["voi"] == "window"


def test_a_table_that_declares_more_bits_than_it_uses_is_not_black(tmp_path):
    path = write_dicom(tmp_path / "a", picture(), VOILUTSequence=table(0, range(TOP + 1), 16))
    np.testing.assert_allclose(read_radiograph(path).pixels, picture() / TOP, atol=1e-6)


# Oracle: pydicom.pixels.apply_modality_lut and apply_voi_lut, unsigned 12 bit: output 0 to 4095.
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(2000, 2500), (100, 3), (4000, 900.5)])
def test_windows_agree_with_pydicom(tmp_path, function, center, width):
    window = {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}
    path = write_dicom(tmp_path / "a", picture(), **window)
    pixels = read_radiograph(path, policy="window").pixels
    np.testing.assert_allclose(pixels, oracle(path) / TOP, atol=1e-6)


@pytest.mark.parametrize("first", [0, 500, -300])
def test_tables_agree_with_pydicom(tmp_path, first):
    signed = picture().astype(np.int16) - 2048 if first < 0 else picture()
    entries = np.random.default_rng(1).integers(0, 2**16, 1000)
    path = write_dicom(tmp_path / "a", signed, ModalityLUTSequence=table(first, entries))
    pixels = read_radiograph(path, policy="none").pixels
    np.testing.assert_allclose(pixels, oracle(path) / (2**16 - 1), atol=1e-6)


@pytest.mark.parametrize("policy", ["auto", "percentile", "none", "window"])
def test_monochrome1_is_monochrome2_turned_round(tmp_path, policy):
    one, two = (
        read_radiograph(
            write_dicom(tmp_path / kind, picture(), PhotometricInterpretation=kind, **WINDOW),
            policy=policy,
        ).pixels
        for kind in ("MONOCHROME1", "MONOCHROME2")
    )
    np.testing.assert_allclose(one, 1 - two, atol=1e-6)


@pytest.mark.parametrize(
    "window",
    [
        pytest.param({"WindowCenter": 60000, "WindowWidth": 100}, id="above all pixels"),
        pytest.param({"WindowCenter": -9000, "WindowWidth": 100}, id="below all pixels"),
        pytest.param({"WindowCenter": 2000, "WindowWidth": 0}, id="no width"),
        pytest.param({**WINDOW, "VOILUTFunction": "CURVED"}, id="unknown function"),
    ],
)
def test_a_window_that_shows_nothing_is_left_aside_and_that_is_said(tmp_path, window):
    path = write_dicom(tmp_path / "a", picture(), **window)
    radiograph = read_radiograph(path)
    assert (radiograph.tags["voi"], radiograph.tags["voi_ignored"]) == ("percentile", "window")
    low, high = np.percentile(picture(), (0.5, 99.5))
    expected = ((picture() - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(radiograph.pixels, expected, atol=1e-6)


def test_a_window_that_shows_one_stray_pixel_shows_nothing(tmp_path):
    pixels = (picture() >> 3).astype(np.uint16)
    pixels[0, 0] = TOP  # a dead detector element
    path = write_dicom(tmp_path / "a", pixels, WindowCenter=4000, WindowWidth=200)
    radiograph = read_radiograph(path)
    assert radiograph.tags["voi_ignored"] == "window"
    assert radiograph.pixels.std() > 0.1


@pytest.mark.parametrize(("bits", "voi"), [(8, "none"), (12, "percentile")])
def test_without_window_8_bits_are_taken_whole_and_more_by_percentile(tmp_path, bits, voi):
    pixels = picture() >> (12 - bits)
    radiograph = read_radiograph(write_dicom(tmp_path / "a", pixels, BitsStored=bits))
    assert (radiograph.tags["voi"], radiograph.tags["voi_ignored"]) == (voi, "")
    if bits == 8:
        np.testing.assert_allclose(radiograph.pixels, pixels / 255, atol=1e-6)


def test_a_blank_picture_is_black_in_both_polarities(tmp_path):
    blank = np.full((8, 8), 700, np.uint16)
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        path = write_dicom(tmp_path / kind, blank, PhotometricInterpretation=kind)
        assert (read_radiograph(path).pixels == 0).all()


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.3], "ImagerPixelSpacing": [1, 1]}, (0.2, 0.3)),
        ({"ImagerPixelSpacing": [0.14, 0.15]}, (0.14, 0.15)),
        ({"PixelSpacing": [0, 0]}, None),
        ({}, None),
    ],
)
def test_spacing_is_told_when_it_is_known(tmp_path, elements, spacing):
    assert read_radiograph(write_dicom(tmp_path / "a", picture(), **elements)).spacing == spacing


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"NumberOfFrames": 3, "Rows": 10}, "must hold one frame, got 3"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "got a color picture"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "got a color picture"),
        ({"PixelData": None}, "has no pixel data"),
        ({"Rows": None}, "holds no picture"),
        ({"PixelData": b"\0" * 100}, "damaged: its pixel data can not be decoded"),
        (
            {"syntax": RLELossless, "PixelData": encapsulate([b"\1" * 90])},
            r"damaged: its compressed pixel data \(RLE Lossless\)",
        ),
        ({"syntax": MPEG2MPML, "PixelData": encapsulate([b"\1\1"])}, "not a still picture"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_says_why_a_file_is_refused(tmp_path, changes, message):
    path = write_dicom(tmp_path / "DOE_JANE_4711.dcm", picture(), **changes)
    with pytest.raises(RadiographError, match=message) as caught:
        read_radiograph(path)
    assert "DOE" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.99])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_refuses_a_file_that_was_cut_off(tmp_path, kept):
    whole = write_dicom(tmp_path / "whole", picture()).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(RadiographError, match=r"damaged|has no pixel data|holds no picture|not an"):
        read_radiograph(tmp_path / "cut")


@pytest.mark.parametrize(("policy", "what"), [("window", "VOI window"), ("lut", "VOI lut")])
def test_refuses_a_policy_that_the_file_can_not_serve(tmp_path, policy, what):
    with pytest.raises(RadiographError, match=f"needs a file with a usable {what}"):
        read_radiograph(write_dicom(tmp_path / "a", picture()), policy=policy)


def test_names_the_extra_when_a_codec_is_missing(tmp_path, monkeypatch):
    data = encapsulate([jpeg_lossless(picture())])
    path = write_dicom(tmp_path / "a", picture(), syntax=JPEGLosslessSV1, PixelData=data)
    monkeypatch.setattr(get_decoder(JPEGLosslessSV1), "_available", {})
    with pytest.raises(RadiographError, match=r'pip install "monai-kd\[dicom\]"'):
        read_radiograph(path)


def test_nothing_tells_whose_picture_it_is(tmp_path, caplog, recwarn):
    caplog.set_level(logging.DEBUG)
    planted = {
        "PatientName": "DOE^JANE",
        "PatientID": "MRN4711",
        "PatientSex": "F",
        "PatientBirthDate": "19470401",
        "StudyDate": "20210304",
        "StudyDescription": "DOE JANE",
        "BodyPartExamined": "DOE JANE",
        "ViewPosition": "MRN4711",
        "InstitutionName": "St. Doe",
        "ImageComments": "MRN4711",
    }
    path = write_dicom(tmp_path / "DOE_JANE_MRN4711.dcm", picture(), **planted)
    recwarn.clear()
    radiograph = read_radiograph(path)
    said = repr((radiograph.tags, radiograph.spacing, stored_pixels_sha256(path)))
    said += caplog.text + "".join(str(warning.message) for warning in recwarn)
    for secret in ("DOE", "Doe", "JANE", "4711", "1947", "2021"):
        assert secret not in said
    assert radiograph.tags["Modality"] == "CR"
    assert radiograph.tags["BodyPartExamined"] == ""


# Oracle: pydicom's chain. It knows no polarity: MONOCHROME1 files must run against it.
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs ../shared/data/dicom_radiographs")
@pytest.mark.parametrize(
    ("name", "voi", "span", "sign"),
    [
        ("OT_mono2_8bit_VOILUTseq", "lut", 65535, 1),
        ("OT_mono2_8bit_deflated", "none", 255, 1),
        ("RG1_chest_CR_mono1_15bit_j2k_lossy", "window", 32767, -1),
        ("RG2_hip_CR_mono2_10bit_jpeg_lossless_sv1", "window", 1023, 1),
        ("RG3_extremity_CR_mono1_10bit_rle", "window", 1023, -1),
    ],
)
def test_published_radiographs_look_as_pydicom_says(name, voi, span, sign):
    path = SAMPLES / f"{name}.dcm"
    radiograph = read_radiograph(path)
    expected = oracle(path) / span
    np.testing.assert_allclose(radiograph.pixels, expected if sign > 0 else 1 - expected, atol=2e-6)
    assert radiograph.tags["voi"] == voi


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs ../shared/data/dicom_radiographs")
def test_published_files_with_traps():
    signed = SAMPLES / "OT_mono2_12bit_signed_ModalityLUTseq.dcm"
    expected = oracle(signed) / 65535
    pixels = read_radiograph(signed, policy="none").pixels
    np.testing.assert_allclose(pixels, expected, atol=2e-6)
    broken = SAMPLES / "RG2_hip_CR_mono2_10bit_jpeg_extended_ORIGINAL_nonconformant.dcm"
    with pytest.raises(RadiographError, match="JPEG Extended"):
        read_radiograph(broken)
