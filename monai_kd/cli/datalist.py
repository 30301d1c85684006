# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_kd datalist``: build a datalist from a folder, labels and drawn regions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from monai_kd.cli.frame import add_command, aligned

if TYPE_CHECKING:
    from pathlib import Path

    from monai_kd.data.datalist import Datalist

__all__ = ["add_parser", "counts_table", "run"]

_EXAMPLE = """\
example:
  python -m monai_kd datalist archive --labels labels.csv --regions boxes.csv --dry-run

The CSV names one image per row (path below FOLDER, file name, or file name without ending), its
label(s), and if possible its patient. Patients stay in one section; ids are salted and hashed."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to ``python -m monai_kd``.

    Args:
        subparsers: what ``ArgumentParser.add_subparsers`` returned.

    Returns:
        The command's parser.
    """
    parser = add_command(
        subparsers,
        "datalist",
        description="Build a datalist: patient-grouped, stratified, seeded, checked for leaks.",
        example=_EXAMPLE,
    )
    parser.add_argument("folder", metavar="FOLDER", help="DICOM, PNG, JPEG or NIfTI files")
    parser.add_argument("--labels", required=True, metavar="CSV", help="labels of the images")
    parser.add_argument("--regions", metavar="FILE", help="what experts drew: COCO JSON or CSV")
    parser.add_argument("--output", metavar="FILE", help="default: FOLDER/datalist.json")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a datalist that is there; its salted ids are then lost",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the counts, write nothing")
    _add_split_options(parser.add_argument_group("sections (shares of patients)"))
    _add_column_options(parser.add_argument_group("columns of the CSV"))
    return parser


def run(args: argparse.Namespace) -> int:
    """Build, print the counts, and write unless it is a dry run.

    Args:
        args: what :func:`add_parser` reads.

    Returns:
        0.
    """
    import sys
    from pathlib import Path

    from monai_kd.data import build_datalist, read_salt, save_datalist
    from monai_kd.utils import MonaiKDError

    output = Path(args.output or Path(args.folder) / "datalist.json")
    if not args.dry_run:
        _refuse_to_replace(output, overwrite=args.overwrite)
    try:
        datalist = build_datalist(
            args.folder,
            args.labels,
            regions=args.regions,
            settings=_settings(args),
            columns=_columns(args),
            salt=read_salt(args.salt) if args.salt and not args.dry_run else None,
            use_unlisted=args.use_unlisted,
        )
        sys.stdout.write(counts_table(datalist))
        if args.dry_run:
            sys.stdout.write("dry run: nothing written\n")
            return 0
        sys.stdout.write(f"written: {save_datalist(datalist, output)}\n")
    except OSError as error:
        raise MonaiKDError(
            f"datalist: files must be readable and --output writable, got: {error.strerror}. "
            "Choose another --output when FOLDER is read-only."
        ) from None
    except ValueError as error:
        raise MonaiKDError(str(error)) from None
    return 0


def _refuse_to_replace(output: Path, *, overwrite: bool) -> None:
    """Keep what is there, unless it was written here and may be replaced."""
    import json

    from monai_kd.utils import MonaiKDError

    if not output.exists():
        return
    try:
        content = json.loads(output.read_text(encoding="utf-8"))
        ours = isinstance(content, dict) and {"findings", "exclusive"} <= content.keys()
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise MonaiKDError(
            "datalist: --output (datalist.json in FOLDER unless given) must not exist yet, got a "
            "file that this command has not written, which is never replaced: give --output "
            "another name or folder."
        )
    if not overwrite:
        raise MonaiKDError(
            "datalist: --output must not exist yet, got a datalist. It is the only link from the "
            "ids of earlier predictions to their films: give another --output, or --overwrite."
        )


def counts_table(datalist: Datalist) -> str:
    """Return sections x findings, patients and regions as aligned text, with the build's notes.

    Args:
        datalist: what was built.
    """
    from monai_kd.data.splits import finding_counts

    header = ["section", "images", "patients", *datalist.findings, "drawn", "empty", "nobody drew"]
    lines = [header]
    for name, items in datalist.sections.items():
        counts = [finding_counts(items, number) for number in range(len(datalist.findings))]
        regions = [item.get("regions") for item in items]
        empty, nobody = regions.count([]), regions.count(None)
        lines.append(
            [
                name,
                str(len(items)),
                str(len({item.get("patient_id", number) for number, item in enumerate(items)})),
                *("{positive}/{negative}/{unknown}".format(**count) for count in counts),
                str(len(items) - empty - nobody),
                str(empty),
                str(nobody),
            ]
        )
    notes = [f"note: {note}\n" for note in datalist.info.get("built", {}).get("notes", [])]
    return "".join(["findings: positive/negative/unknown images\n", aligned(lines), *notes])


def _settings(args: argparse.Namespace) -> Any:
    from monai_kd.data import SplitSettings

    return SplitSettings(
        test=args.test,
        validation=args.validation,
        labeled=args.labeled,
        rounds=args.rounds,
        seed=args.seed,
        keep_hidden_labels=args.keep_hidden_labels,
    )


def _columns(args: argparse.Namespace) -> Any:
    from monai_kd.data import LabelColumns

    return LabelColumns(
        image=args.image_column,
        labels=tuple(args.label_columns),
        patient=args.patient_column,
        split=args.split_column,
        keep=tuple(args.keep_columns),
        exclusive=args.exclusive,
    )


def _add_split_options(group: Any) -> None:
    group.add_argument("--test", type=float, default=0.2, help="of all patients (default 0.2)")
    group.add_argument("--validation", type=float, default=0.1, help="of all (default 0.1)")
    group.add_argument(
        "--labeled", type=float, default=0.1, help="of the others, labels used (default 0.1)"
    )
    group.add_argument(
        "--rounds", type=int, default=3, help="unlabeled sections; 0 labels everything (default 3)"
    )
    group.add_argument("--seed", type=int, default=0, help="another seed, other patients")
    group.add_argument("--salt", metavar="FILE", help="secret for ids that stay the same")
    group.add_argument(
        "--use-unlisted", action="store_true", help="images without a row become unlabeled"
    )
    group.add_argument(
        "--keep-hidden-labels", action="store_true", help="keep unlabeled items' labels apart"
    )


def _add_column_options(group: Any) -> None:
    group.add_argument("--image-column", default="auto", metavar="NAME", help="image names")
    group.add_argument(
        "--label-columns",
        nargs="+",
        default=[],
        metavar="NAME",
        help="one column of classes, or columns of 1, 0, blank; NAME=FINDING renames",
    )
    group.add_argument(
        "--exclusive", action="store_true", help="exactly one of the columns of 1 and 0 holds"
    )
    group.add_argument("--patient-column", default="auto", metavar="NAME", help="patients")
    group.add_argument("--split-column", default="", metavar="NAME", help="keep this split")
    group.add_argument(
        "--keep-columns",
        nargs="*",
        default=["sex", "age", "view", "site"],
        metavar="NAME",
        help="metadata to keep (default: sex age view site)",
    )
