# SPDX-License-Identifier: Apache-2.0
"""What is written comes back as it was: boxes, masks, colors, gray, and whose film it is."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from monai_kd.data import read_radiograph, regions_to_mask
from monai_kd.data.dicom_results import Detection
from monai_kd.data.dicom_results.drawing import draw_picture, enlargement
from monai_kd.data.phantom import FAKE_FAMILY_NAMES, draw_phantom_archive
from monai_kd.utils import MonaiKDError

SHARED = Path(__file__).parents[4] / "shared"
SAMPLES = SHARED / "data" / "dicom_radiographs"
FINDINGS = ["rib_fracture", "clavicle_fracture", "opacity"]
SOURCE_UID = "1.2.826.0.1.77.3"
SOLID, DOTTED = (255, 176, 0), (86, 180, 233)
IDENTITY = [
    *("StudyInstanceUID", "AccessionNumber", "StudyDate", "StudyTime", "StudyID"),
    *("StudyDescription", "ReferringPhysicianName", "PatientName", "PatientID"),
    *("IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("PatientIdentityRemoved", "SpecificCharacterSet"),
]
OWN_IDENTITY = ["SeriesInstanceUID", "SOPInstanceUID"]
TOP = 4095


def groups_of(path):
    report = hd.sr.srread(path)
    content = report.content
    return content.get_planar_roi_measurement_groups(), content.get_image_measurement_groups()


def graphics_of(path):
    state = dcmread(path)
    return [
        graphic
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", [])
    ]


def gray_by_presentation(source, state):
    """Show stored values as a presentation state says, by pydicom's own functions, in [0, 1]."""
    film, rules = dcmread(source), Dataset()
    rules.file_meta = state.file_meta  # tells the byte order of tables
    for keyword in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"):
        if keyword in state:
            setattr(rules, keyword, state[keyword].value)
    for keyword in ("BitsStored", "PixelRepresentation"):
        setattr(rules, keyword, film[keyword].value)
    rules.PhotometricInterpretation = "MONOCHROME2"
    stored = film.pixel_array.astype(
        np.float64 if "RescaleSlope" in state else film.pixel_array.dtype
    )
    values = apply_modality_lut(stored, rules)
    if "SoftcopyVOILUTSequence" in state:
        voi = state.SoftcopyVOILUTSequence[0]
        if "VOILUTSequence" in voi:
            rules.VOILUTSequence = voi.VOILUTSequence
            gray = apply_voi_lut(values.astype(np.int64), rules) / 65535
        else:
            center, width = float(voi.WindowCenter), float(voi.WindowWidth)
            if voi.VOILUTFunction == "LINEAR":
                center, width = center - 0.5, width - 1
            gray = ((values - center) / width + 0.5).clip(0, 1)
    else:
        gray = values / (2**film.BitsStored - 1)
    return 1 - gray if state.PresentationLUTShape == "INVERSE" else gray


def table(first, entries, bits=16):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return item


def modality_table(first, entries):
    item = table(first, entries)
    item.ModalityLUTType = "US"
    return [item]


def stored(rows=96, columns=128):
    y, x = np.mgrid[:rows, :columns]
    return (300 + x * 2560 / columns + y * 768 / rows).astype(np.uint16)


GRAYS = {
    "nothing said": {},
    "window": {"WindowCenter": 2000.0, "WindowWidth": 2500.0},
    "monochrome1": {"PhotometricInterpretation": "MONOCHROME1"},
    "monochrome1 with a window": {
        "PhotometricInterpretation": "MONOCHROME1",
        "WindowCenter": 1700.0,
        "WindowWidth": 2000.0,
    },
    "rescaled": {"RescaleSlope": -1.0, "RescaleIntercept": 4095.0},
    "table": {"VOILUTSequence": [table(0, np.linspace(0, 1, 4096) ** 2 * 65535)]},
    "table of 10 bits": {"VOILUTSequence": [table(500, np.linspace(0, 1023, 2000), 10)]},
    "modality table": {"ModalityLUTSequence": modality_table(0, np.linspace(0, 60000, 4096))},
    "8 bits": {"pixels": (stored() // 16).astype(np.uint8), "BitsStored": 8},
}


class TestReport:
    def test_boxes_come_back_exactly(self, film, tmp_path, write_results):
        regions, _ = groups_of(write_results(film, tmp_path / "out").report)
        corners = [group.roi.value.tolist() for group in regions]
        assert corners[0] == [[20, 30], [44, 30], [44, 50], [20, 50], [20, 30]]
        assert corners[1][0] == [50.25, 60.5]
        assert corners[1][2] == [70.75, 80.0]
        assert {group.roi.graphic_type.value for group in regions} == {"POLYLINE"}
        sources = {
            item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for group in regions
            for item in group.roi.ContentSequence
        }
        assert sources == {SOURCE_UID}

    def test_finding_probability_operating_point_and_algorithm(self, film, tmp_path, write_results):
        regions, _ = groups_of(write_results(film, tmp_path / "out").report)
        findings = [(g.finding_type.value, g.finding_type.scheme_designator) for g in regions]
        assert findings == [("33737001", "SCT"), ("33737001", "SCT"), ("opacity", "99MONAIKD")]
        measured = [group.get_measurements()[0] for group in regions]
        assert [m.value for m in measured] == [87.5, 43.21, 50.0]
        assert {(m.unit.value, m.name.meaning) for m in measured} == {("%", "Certainty of Finding")}
        points = [g.get_qualitative_evaluations()[0].value.value for g in regions]
        assert points == ["solid", "dotted", "solid"]
        report = str(dcmread(write_results(film, tmp_path / "out").report))
        assert "cxr_aals_fracture_detection" in report
        assert "'0.1.0'" in report

    def test_presentation_tracks_the_same_boxes(self, film, tmp_path, write_results):
        results = write_results(film, tmp_path / "out")
        regions, _ = groups_of(results.report)
        tracked = {group.tracking_uid: group.roi.value.ravel().tolist() for group in regions}
        shown = {
            one.TrackingUID: list(one.GraphicData) for one in graphics_of(results.presentation)
        }
        assert shown == tracked
        assert len(tracked) == 3

    def test_a_finding_without_detection_is_not_detected(self, film, tmp_path, write_results):
        _, others = groups_of(write_results(film, tmp_path / "out").report)
        assert [group.finding_type.meaning for group in others] == ["Fracture of clavicle"]
        evaluation = others[0].get_qualitative_evaluations()[0]
        assert evaluation.value == hd.sr.CodedConcept("260415000", "SCT", "Not detected")
        assert others[0].source_images[0].referenced_sop_instance_uid == SOURCE_UID

    def test_nothing_detected(self, film, tmp_path, write_results):
        write_results(film, tmp_path / "out")
        results = write_results(film, tmp_path / "out", [])
        regions, others = groups_of(results.report)
        assert (len(regions), len(others)) == (0, 3)
        assert results.segmentation is None
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "picture.dcm",
            "presentation.dcm",
            "report.dcm",
        ]
        assert graphics_of(results.presentation) == []

    def test_long_and_foreign_names_get_different_codes(self, film, tmp_path, write_results):
        names = [
            "fracture of the left first rib",
            "fracture of the left second rib",
            "Brüche",
            "Bruche",
            "Ж",
        ]
        _, others = groups_of(write_results(film, tmp_path / "o", [], findings=names).report)
        codes = [group.finding_type for group in others]
        assert len({code.value for code in codes}) == 5
        assert all(len(code.value) <= 16 for code in codes)
        assert [code.meaning for code in codes] == [*names[:2], "Bruche", "Bruche", "&#1046;"]

    def test_same_kind_of_report_as_ohif_writes(self, film, tmp_path, write_results):
        example = SHARED / "design" / "ohif_rectangle_sr.dcm"
        if not example.exists():
            pytest.skip("the report that OHIF wrote is not here")
        ours, theirs = dcmread(write_results(film, tmp_path / "out").report), dcmread(example)
        for keyword in ("ConceptNameCodeSequence", "ContentTemplateSequence"):
            item, other = ours[keyword].value[0], theirs[keyword].value[0]
            assert item.get("CodeValue") == other.get("CodeValue")
            assert item.get("TemplateIdentifier") == other.get("TemplateIdentifier")
        kinds = {(len(s.GraphicData), s.GraphicType) for s in polylines(theirs)}
        assert kinds == {(len(s.GraphicData), s.GraphicType) for s in polylines(ours)}
        assert all(s.GraphicData[:2] == s.GraphicData[-2:] for s in polylines(ours))


def polylines(item):
    """Return the spatial coordinates anywhere in a report."""
    found = [item] if item.get("ValueType") == "SCOORD" else []
    for child in item.get("ContentSequence", []):
        found += polylines(child)
    return found


class TestMask:
    def test_boxes_fill_their_segments(self, film, tmp_path, write_results):
        segmentation = hd.seg.segread(write_results(film, tmp_path / "out").segmentation)
        mask = segmentation.get_pixels_by_source_instance(
            [SOURCE_UID], ignore_spatial_locations=True
        )
        expected = np.zeros((1, 96, 128, 2), np.uint8)
        expected[0, 30:50, 20:44, 0] = 1
        expected[0, 60:80, 50:71, 0] = 1
        expected[0, 0:24, 100:128, 1] = 1
        np.testing.assert_array_equal(mask, expected)
        labels = [segment.SegmentLabel for segment in segmentation.SegmentSequence]
        assert labels == ["rib_fracture", "opacity"]

    def test_a_mask_of_ones_own(self, film, tmp_path, write_results):
        mask = np.zeros((96, 128, 3), np.bool_)
        mask[95, 3, 1] = True
        segmentation = hd.seg.segread(write_results(film, tmp_path / "o", mask=mask).segmentation)
        read = segmentation.get_pixels_by_source_instance(
            [SOURCE_UID], ignore_spatial_locations=True
        )
        assert np.argwhere(read).tolist() == [[0, 95, 3, 0]]
        assert segmentation.SegmentSequence[0].SegmentLabel == "clavicle_fracture"


def test_nobody_else_can_read_what_names_the_patient(film, tmp_path, write_results):
    results = write_results(film, tmp_path / "results", [])
    assert {path.stat().st_mode & 0o777 for path in results.paths} == {0o600}
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o700


class TestPicture:
    def test_edges_have_their_colors_and_the_film_is_left_alone(
        self, tmp_path, write_film, write_results
    ):
        film = write_film(tmp_path / "film.dcm", pixels=stored(800, 1024))
        found = [
            Detection("rib_fracture", 0.875, (200.0, 300.0, 240.0, 350.0), True),
            Detection("rib_fracture", 0.4321, (500.25, 600.5, 540.75, 650.0), False),
            Detection("opacity", 0.5, (1000.0, 0.0, 1024.0, 24.0), True),
        ]
        picture = dcmread(write_results(film, tmp_path / "out", found).picture).pixel_array
        for y, x in [(300, 200), (300, 239), (349, 200), (349, 239), (0, 1023), (23, 1000)]:
            assert tuple(picture[y, x]) == SOLID, (y, x)
        gray = np.rint(read_radiograph(film).pixels * 255).astype(np.uint8)
        for y, x in [(300, 199), (300, 240), (350, 239), (320, 220), (302, 202), (799, 0)]:
            assert tuple(picture[y, x]) == (gray[y, x],) * 3, (y, x)
        assert tuple(picture[600, 500]) == DOTTED
        changed = (picture[:800] != gray[..., np.newaxis]).any(axis=2)
        assert changed.mean() < 0.03  # boxes and three names

    def test_a_small_film_is_enlarged_and_its_boxes_stay_exact(self, film, tmp_path, write_results):
        picture = dcmread(write_results(film, tmp_path / "out").picture).pixel_array
        assert picture.shape[1] == 1024  # 8 x 128
        solid = (picture[:768] == SOLID).all(axis=2)
        for x_min, y_min, x_max, y_max in [(20, 30, 44, 50), (100, 0, 128, 24)]:
            left, top, right, bottom = 8 * x_min, 8 * y_min, 8 * x_max, 8 * y_max
            assert solid[top, left:right].all()
            assert solid[bottom - 1, left:right].all()
            assert solid[top:bottom, left].all()
            assert solid[top:bottom, right - 1].all()
            assert not solid[bottom, left : left + 8].any()
            assert not solid[bottom - 8 : bottom, left - 1].any()
        assert tuple(picture[484, 402]) == DOTTED  # 8 x 60.5, 8 x 50.25
        assert not (picture[484, 401] == DOTTED).all()

    def test_an_enlarged_film_is_not_shifted(self, tmp_path, write_film, write_results):
        film = write_film(tmp_path / "film.dcm", pixels=stored())
        picture = dcmread(write_results(film, tmp_path / "out", []).picture).pixel_array
        gray = read_radiograph(film).pixels * 255
        means = picture[:768, :, 0].reshape(96, 8, 128, 8).mean(axis=(1, 3))
        inner = slice(1, -1), slice(1, -1)  # shades rise evenly: the mean is the middle
        np.testing.assert_allclose(means[inner], gray[inner], atol=0.6)

    @pytest.mark.parametrize(
        ("shape", "factor"),
        [((160, 198), 6), ((64, 64), 16), ((512, 512), 2), ((1023, 9), 2), ((9, 1024), 1)],
    )
    def test_the_longer_side_reaches_1024(self, shape, factor):
        film = np.zeros(shape, np.uint8)
        picture = draw_picture(film, [], "a 1")
        assert enlargement(shape) == factor
        assert picture.shape[1] == factor * shape[1]
        assert picture.shape[0] > factor * shape[0]

    def test_all_words_of_a_small_film_fit(self, tmp_path, write_film, write_results):
        film = write_film(tmp_path / "film.dcm", pixels=stored(198, 160))
        picture = dcmread(write_results(film, tmp_path / "out", []).picture).pixel_array
        band = picture[6 * 198 :].max(axis=2)
        letters = np.nonzero((band > 128).any(axis=0))[0]
        assert 250 < letters.max() < 940  # of 960, in letters of a readable size

    def test_the_lenient_box_is_dotted(self, film, tmp_path, write_results):
        picture = dcmread(write_results(film, tmp_path / "out").picture).pixel_array
        edge = (picture[484, 402:566] == DOTTED).all(axis=-1)
        assert 0.3 < edge.mean() < 0.7

    def test_a_line_says_what_it_is(self, film, tmp_path, write_results):
        capture = dcmread(write_results(film, tmp_path / "out").picture)
        assert capture.DerivationDescription == "Research only. Not for diagnosis."
        assert (capture.pixel_array[768:880] > 128).any()  # below the film
        assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == SOURCE_UID

    def test_polarity_does_not_show(self, tmp_path, write_film, write_results):
        pixels = stored()
        films = [
            write_film(tmp_path / "a.dcm", pixels=pixels),
            write_film(
                tmp_path / "b.dcm", pixels=TOP - pixels, PhotometricInterpretation="MONOCHROME1"
            ),
        ]
        a, b = (dcmread(write_results(f, tmp_path / f.stem).picture).pixel_array for f in films)
        assert np.abs(a.astype(int) - b).max() <= 1
        assert a[720, 40].mean() < a[720, 720].mean()

    def test_rectangular_pixels_keep_their_shape(self, tmp_path, write_film, write_results):
        film = write_film(tmp_path / "a.dcm", ImagerPixelSpacing=[0.2, 0.1])
        results = write_results(film, tmp_path / "out")
        area = dcmread(results.presentation).DisplayedAreaSelectionSequence[0]
        for aspect in (
            dcmread(results.picture).PixelAspectRatio,
            area.PresentationPixelAspectRatio,
        ):
            assert aspect[0] / aspect[1] == 2

    def test_what_was_compressed_with_loss_stays_marked(self, tmp_path, write_film, write_results):
        lossy = {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10"}
        film = write_film(tmp_path / "a.dcm", BurnedInAnnotation="YES", **lossy)
        results = write_results(film, tmp_path / "out")
        for path in (results.picture, results.segmentation):
            result = dcmread(path)
            assert result.LossyImageCompression == "01"
            assert result.LossyImageCompressionRatio == 10
        assert dcmread(results.picture).BurnedInAnnotation == "YES"


@pytest.mark.parametrize("gray", GRAYS.values(), ids=GRAYS)
def test_presentation_shows_the_film_as_the_reader_does(gray, tmp_path, write_film, write_results):
    film = write_film(tmp_path / "film.dcm", **gray)
    state = dcmread(write_results(film, tmp_path / "out").presentation)
    shown, expected = gray_by_presentation(film, state), read_radiograph(film).pixels
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(shown, expected, atol=1e-3)


class TestIdentity:
    @pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
    def test_patient_and_study_are_copied_byte_by_byte(
        self, syntax, tmp_path, write_film, write_results
    ):
        film = write_film(tmp_path / "f.dcm", **({"syntax": syntax} if syntax else {}))
        source = dcmread(film)
        for path in write_results(film, tmp_path / "out").paths:
            result = dcmread(path)
            for keyword in IDENTITY:
                assert result[keyword].value == source[keyword].value, keyword
            raw = dcmread(path).get_item("PatientName").value
            assert raw.strip() == "Ärgerlich^Änne".encode("latin-1")

    def test_names_in_several_character_sets(self, tmp_path, write_film, write_results):
        names = {
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
            "PatientName": "Yamada^Tarou=山田^太郎",
            "ReferringPhysicianName": None,
        }
        film = write_film(tmp_path / "film.dcm", **names)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            results = write_results(film, tmp_path / "out")
        for path in results.paths:
            assert str(dcmread(path).PatientName) == names["PatientName"]

    def test_each_is_a_new_instance_in_a_new_series(self, film, tmp_path, write_results):
        results = [write_results(film, tmp_path / name) for name in "ab"]
        read = [dcmread(path) for result in results for path in result.paths]
        for keyword in OWN_IDENTITY:
            assert len({one[keyword].value for one in [*read, dcmread(film)]}) == 9
        numbers = {(one.Modality, int(one.SeriesNumber)) for one in read}
        assert numbers == {("SR", 9901), ("SEG", 9902), ("OT", 9903), ("PR", 9904)}

    def test_content_is_the_same_each_time(self, film, tmp_path, write_results):
        first, second = (write_results(film, tmp_path / name).paths for name in "ab")
        for a, b in zip(first, second, strict=True):
            assert without_uids_and_times(dcmread(a)) == without_uids_and_times(dcmread(b))

    def test_missing_patient_stays_empty(self, tmp_path, write_film, write_results):
        film = write_film(tmp_path / "f.dcm", PatientName=None, PatientID=None, StudyDate=None)
        for path in write_results(film, tmp_path / "out").paths:
            assert [dcmread(path)[k].value or "" for k in ("PatientName", "PatientID")] == ["", ""]


def without_uids_and_times(dataset):
    def forget(owner, element):
        if element.VR in ("UI", "DA", "TM", "DT"):
            del owner[element.tag]

    dataset.walk(forget)
    return dataset


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"ImageLaterality": "R"}, "R"),  # of a DX
        ({"Laterality": "", "ImageLaterality": "L"}, "L"),
        ({"Laterality": "L", "ImageLaterality": "R"}, "L"),
        ({"ImageLaterality": "U"}, ""),
        ({}, ""),
    ],
)
def test_the_side_is_taken_from_where_it_stands(
    said, expected, tmp_path, write_film, write_results
):
    results = write_results(write_film(tmp_path / "film.dcm", **said), tmp_path / "out")
    for path in (results.picture, results.presentation):
        assert (dcmread(path).Laterality or "") == expected


class TestFailures:
    def test_two_runs_are_never_mixed(self, film, tmp_path, write_results, monkeypatch):
        """The disk is full at the third file of the second run."""
        from monai_kd.data.dicom_results import write

        write_results(film, tmp_path / "out")
        (tmp_path / "out" / "notes.txt").touch()
        left, real = iter([True, True, False]), write.dcmwrite

        def full(*args, **settings):
            if not next(left):
                raise OSError("No space left on device")
            return real(*args, **settings)

        monkeypatch.setattr(write, "dcmwrite", full)
        with pytest.raises(OSError, match="No space left"):
            write_results(film, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


class TestPrivacy:
    def test_nothing_of_the_patient_is_logged_warned_or_named(
        self, tmp_path, write_film, write_results, caplog
    ):
        caplog.set_level(logging.DEBUG)
        film = write_film(
            tmp_path / "Ärgerlich.dcm",
            PatientName="Ärgerlich Änne",
            PatientSex="X",
            StudyID="S" * 16,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            results = write_results(film, tmp_path / "out")
        said = caplog.text + " ".join(str(one.message) for one in caught)
        said += " ".join(path.name for path in results.paths)
        for secret in ("rgerlich", "MRN0815", "ACC4711", "1.2.826.0.1.77", "19510203", "berweiser"):
            assert secret not in said

    def test_errors_say_nothing_of_the_patient(self, tmp_path, write_film, write_results):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of writing the film
            film = write_film(tmp_path / "Meier_MRN0815.dcm", StudyInstanceUID="1.2.MRN0815")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(MonaiKDError, match="valid UIDs") as error:
                write_results(film, tmp_path / "out")
        assert "MRN0815" not in str(error.value)
        assert error.value.__suppress_context__ or error.value.__context__ is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"NumberOfFrames": 2}, "one frame, got 2"),
            ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "got a color picture"),
            ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "CR, DX or secondary capture"),
            ({"SeriesInstanceUID": None}, "valid UIDs"),
            ({"SOPInstanceUID": ""}, "valid UIDs"),
            ({"syntax": ExplicitVRBigEndian}, "little-endian"),
        ],
    )
    def test_other_sources(self, changes, message, tmp_path, write_film, write_results):
        film = write_film(tmp_path / "film.dcm", **changes)
        with pytest.raises(MonaiKDError, match=message):
            write_results(film, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_png_and_nothing(self, tmp_path, write_results):
        Image.new("L", (64, 64)).save(tmp_path / "film.png")
        with pytest.raises(MonaiKDError, match="must be a little-endian DICOM file"):
            write_results(tmp_path / "film.png", tmp_path / "out")
        with pytest.raises(MonaiKDError, match="a file that can be read"):
            write_results(tmp_path / "none.dcm", tmp_path / "out")

    @pytest.mark.parametrize(
        ("detection", "message"),
        [
            (Detection("rib", 0.5, (0, 0, 9, 9), True), "`finding` must be one of"),
            (Detection("opacity", 1.5, (0, 0, 9, 9), True), r"`score` must be in \[0, 1\]"),
            (
                Detection("opacity", float("nan"), (0, 0, 9, 9), True),
                r"`score` must be in \[0, 1\]",
            ),
            (Detection("opacity", 0.5, (0, 0, 129, 9), True), "128 columns"),
            (Detection("opacity", 0.5, (0, 0, 9, 97), True), "96 rows"),
            (Detection("opacity", 0.5, (-1, 0, 9, 9), True), "inside the film"),
            (Detection("opacity", 0.5, (9, 0, 9, 9), True), "inside the film"),
            (Detection("opacity", 0.5, (0, 0, 9, float("nan")), True), "inside the film"),
        ],
    )
    def test_wrong_detections(self, detection, message, film, tmp_path, write_results):
        with pytest.raises(ValueError, match=message):
            write_results(film, tmp_path / "out", [detection])
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("findings", [[], "opacity", ["a", "a"]])
    def test_findings_must_be_known(self, findings, film, tmp_path, write_results):
        with pytest.raises(ValueError, match="each once"):
            write_results(film, tmp_path / "out", [], findings=findings)

    @pytest.mark.parametrize(
        "mask", [np.zeros((96, 128, 2), np.bool_), np.zeros((96, 128, 3), np.uint8)]
    )
    def test_a_mask_must_fit(self, mask, film, tmp_path, write_results):
        with pytest.raises(ValueError, match="`mask` must be boolean of shape"):
            write_results(film, tmp_path / "out", mask=mask)


def test_a_film_of_the_phantom_archive(tmp_path, write_results):
    root = draw_phantom_archive(tmp_path / "phantom", images=40, size=64, task="fracture")
    sources = sorted((root / "dicom").glob("*.dcm"))[:6]
    kinds = {str(dcmread(source).SOPClassUID) for source in sources}
    assert len(kinds) == 2  # CR and DX
    box = Detection("rib_fracture", 0.7, (8.0, 16.0, 24.0, 40.0), True)
    for source in sources:
        results = write_results(source, tmp_path / source.stem, [box])
        segmentation = hd.seg.segread(results.segmentation)
        uid = dcmread(source).SOPInstanceUID
        mask = segmentation.get_pixels_by_source_instance([uid], ignore_spatial_locations=True)
        region = [{"box": list(box.box), "finding": "rib_fracture"}]
        np.testing.assert_array_equal(
            mask[0, ..., 0], regions_to_mask(region, FINDINGS, (64, 64))[0]
        )
        name = str(dcmread(results.report).PatientName)
        assert any(name.startswith(family) for family in FAKE_FAMILY_NAMES)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.dcm")), ids=lambda path: path.stem)
def test_films_of_real_devices(path, tmp_path, write_results):
    if "nonconformant" in path.name:
        with pytest.raises(MonaiKDError, match="can not be decoded"):
            write_results(path, tmp_path / "out")
        return
    try:
        gray = read_radiograph(path).pixels
    except MonaiKDError as error:
        pytest.skip(f"no codec: {error}")
    rows, columns = gray.shape
    box = (columns / 2, rows / 4, columns / 2 + 64, rows / 4 + 32)
    results = write_results(path, tmp_path / "out", [Detection("opacity", 0.5, box, True)])
    regions, _ = groups_of(results.report)
    assert regions[0].roi.value[2].tolist() == [box[2], box[3]]
    picture = dcmread(results.picture).pixel_array
    factor = enlargement((rows, columns))
    assert tuple(picture[int(factor * box[1]), int(factor * box[0])]) == SOLID
    if factor == 1:
        assert tuple(picture[5, 5]) == (round(float(gray[5, 5]) * 255),) * 3
    shown = gray_by_presentation(path, dcmread(results.presentation))
    np.testing.assert_allclose(shown, gray, atol=2e-3)
    for result in results.paths:
        assert dcmread(result).PatientID == dcmread(path).PatientID


def test_the_room_does_not_import_highdicom():
    code = "import sys, monai_kd.data; print('highdicom' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
