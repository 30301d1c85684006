# SPDX-License-Identifier: Apache-2.0
"""PNG, JPEG, NIfTI, format by content, and the hash that finds a picture again."""

from __future__ import annotations

import math

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from monai_kd.data import RadiographError, read_radiograph, stored_pixels_sha256


def picture(dtype=np.uint8, height=24, width=40):
    """Every row and every column differs, so that a transposed or flipped array is caught."""
    y, x = np.mgrid[:height, :width]
    return ((x * 4 + y * 2) * (1 if dtype == np.uint8 else 97)).astype(dtype)


def save(path, pixels, **settings):
    Image.fromarray(pixels).save(path, **settings)
    return path


def save_nifti(path, array, *, unit="mm", affine=None, header=None):
    image = Nifti1Image(array, np.diag([0.3, 0.2, 1, 1]) if affine is None else affine, header)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def save_dicom(path, pixels, bits):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation, dataset.PixelData = 0, pixels.astype("<u2").tobytes()
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def by_percentile(pixels):
    low, high = np.percentile(pixels, (0.5, 99.5))
    return ((pixels - low) / (high - low)).clip(0, 1)


def test_an_8_bit_png_is_taken_as_it_is_shown(tmp_path):
    radiograph = read_radiograph(save(tmp_path / "a.png", picture()))
    np.testing.assert_allclose(radiograph.pixels, picture() / 255, atol=1e-6)
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.spacing is None
    assert (radiograph.tags["format"], radiograph.tags["voi"]) == ("PNG", "none")


def test_a_16_bit_png_keeps_its_16_bits(tmp_path):
    pixels = picture(np.uint16)
    path = save(tmp_path / "a.png", pixels)
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, by_percentile(pixels), atol=1e-6)
    assert radiograph.tags["voi"] == "percentile"
    whole = read_radiograph(path, policy="none").pixels
    np.testing.assert_allclose(whole, pixels / 65535, atol=1e-6)


def test_a_jpeg_is_not_turned_by_its_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    radiograph = read_radiograph(save(tmp_path / "a", picture(), format="JPEG", exif=exif))
    assert radiograph.pixels.shape == (24, 40)
    np.testing.assert_allclose(radiograph.pixels, picture() / 255, atol=0.03)
    assert radiograph.tags["format"] == "JPEG"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_gray_in_several_channels_is_gray(tmp_path, mode):
    Image.fromarray(picture()).convert(mode).save(tmp_path / "a.png")
    pixels = read_radiograph(tmp_path / "a.png").pixels
    np.testing.assert_allclose(pixels, picture() / 255, atol=1e-6)


def test_nifti_columns_are_the_first_axis(tmp_path):
    path = save_nifti(tmp_path / "a.nii", picture(np.uint16).T)
    radiograph = read_radiograph(path)
    np.testing.assert_allclose(radiograph.pixels, by_percentile(picture(np.uint16)), atol=1e-6)
    assert radiograph.spacing == pytest.approx((0.2, 0.3))
    assert radiograph.tags["format"] == "NIfTI"


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_nifti_of_any_number_type_is_the_same_picture(tmp_path, dtype):
    path = save_nifti(tmp_path / "a.nii.gz", picture().astype(dtype).T[..., None])
    pixels = read_radiograph(path, policy="percentile").pixels
    np.testing.assert_allclose(pixels, by_percentile(picture()), atol=1e-6)
    assert stored_pixels_sha256(path) == stored_pixels_sha256(save(tmp_path / "a.png", picture()))


def test_nifti_slope_is_applied(tmp_path):
    image = Nifti1Image(picture(np.int16).T, np.eye(4))
    image.header.set_slope_inter(-2, 10)
    nibabel.save(image, tmp_path / "a.nii")
    pixels = read_radiograph(tmp_path / "a.nii").pixels
    np.testing.assert_allclose(pixels, 1 - by_percentile(picture(np.int16)), atol=1e-6)


def test_nifti_without_unit_has_no_spacing_and_nan_is_black(tmp_path):
    array = picture().astype(np.float32).T
    array[5, 3] = math.nan
    radiograph = read_radiograph(save_nifti(tmp_path / "a.nii", array, unit="unknown"))
    assert radiograph.spacing is None
    assert radiograph.pixels[3, 5] == 0
    assert np.isfinite(radiograph.pixels).all()


def test_the_name_does_not_tell_the_format(tmp_path):
    save(tmp_path / "a.dcm", picture(), format="PNG")
    assert read_radiograph(tmp_path / "a.dcm").tags["format"] == "PNG"
    save_nifti(tmp_path / "b.nii.gz", picture().T).rename(tmp_path / "b.jpg")
    assert read_radiograph(str(tmp_path / "b.jpg")).tags["format"] == "NIfTI"


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 15)])
def test_dicom_and_png_of_the_same_stored_values_have_one_hash(tmp_path, dtype, bits):
    png = save(tmp_path / "a.png", picture(dtype))
    dicom = save_dicom(tmp_path / "b", picture(dtype), bits)
    assert stored_pixels_sha256(dicom) == stored_pixels_sha256(png)


def test_another_picture_has_another_hash(tmp_path):
    changed = picture()
    changed[3, 5] += 1
    pictures = [picture(), changed, picture().T, picture().reshape(40, 24)]
    hashes = [stored_pixels_sha256(save(tmp_path / "a.png", one)) for one in pictures]
    assert len(set(hashes)) == 4
    assert all(len(digest) == 64 for digest in hashes)


def rgb():
    return np.stack([picture(), picture()[::-1], picture()], axis=-1)


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def write(path, data):
    path.write_bytes(data)
    return path


REFUSED = {
    "missing": (lambda path: path, "the file is not there"),
    "folder": (lambda path: path.mkdir() or path, "can not be opened"),
    "empty": (lambda path: write(path, b""), "not an image"),
    "text": (lambda path: write(path, b"Jane Doe, MRN 4711\n" * 50), "not an image"),
    "looks like DICOM": (lambda path: write(path, b"\x08\0" + b"\1" * 500), "holds no picture|dam"),
    "color PNG": (lambda path: save(path, rgb(), format="PNG"), "got a color picture"),
    "color JPEG": (lambda path: save(path, rgb(), format="JPEG"), "got a color picture"),
    "cut PNG": (lambda path: cut(save(path, picture(), format="PNG")), "damaged or incomplete"),
    "cut JPEG": (lambda path: cut(save(path, picture(), format="JPEG")), "damaged or incomplete"),
    "animated PNG": (
        lambda path: save(
            path,
            picture(),
            format="PNG",
            save_all=True,
            append_images=[Image.fromarray(picture() + 9)],
        ),
        "must hold one picture, got 2",
    ),
    "not gzip": (lambda path: write(path, b"\x1f\x8b" + b"\0" * 400), "NIfTI file is damaged"),
    "NIfTI volume": (
        lambda path: save_nifti(path.with_suffix(".nii"), np.zeros((4, 5, 6), np.int16)),
        r"must hold one slice, got shape \(4, 5, 6\)",
    ),
    "NIfTI color": (
        lambda path: save_nifti(
            path.with_suffix(".nii"), np.zeros((4, 5, 1), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        ),
        "must be gray",
    ),
    "cut NIfTI": (
        lambda path: cut(save_nifti(path.with_suffix(".nii"), picture().T)),
        "NIfTI file is damaged",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_says_why_a_file_is_refused_and_never_which(tmp_path, make, message, caplog):
    path = make(tmp_path / "DOE_JANE_4711")
    for read in (read_radiograph, stored_pixels_sha256):
        with pytest.raises(RadiographError, match=message) as caught:
            read(path)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        for secret in ("DOE", "Doe", "4711", str(tmp_path)):
            assert secret not in str(caught.value) + caplog.text


def test_refuses_an_unknown_policy(tmp_path):
    with pytest.raises(ValueError, match=r"`policy` must be one of auto, .* got 'windw'.*`window`"):
        read_radiograph(tmp_path, policy="windw")


def test_a_png_has_no_window(tmp_path):
    with pytest.raises(RadiographError, match="usable VOI window"):
        read_radiograph(save(tmp_path / "a.png", picture()), policy="window")


def test_tags_have_the_same_names_whatever_the_file(tmp_path):
    files = [
        save(tmp_path / "a.png", picture()),
        save_nifti(tmp_path / "a.nii", picture().T),
        save_dicom(tmp_path / "a", picture(), 8),
    ]
    assert len({frozenset(read_radiograph(file).tags) for file in files}) == 1


def test_large_pictures_are_thinned_for_percentiles_only(tmp_path):
    pixels = picture(np.uint16, 1200, 900)
    shown = read_radiograph(save(tmp_path / "a.png", pixels)).pixels
    np.testing.assert_allclose(shown, by_percentile(pixels), atol=0.01)
