# SPDX-License-Identifier: Apache-2.0
"""A finished first stage is looked for before anything is prepared."""

import pytest

from monai_kd.engines import check_first_stage
from monai_kd.utils import MonaiKDError


@pytest.mark.parametrize("what", ["nothing", "a folder"])
def test_a_first_stage_that_is_not_there_is_refused_without_its_name(tmp_path, what):
    path = tmp_path / "DOE_JOHN.pt"
    if what == "a folder":
        path.mkdir()
    message = r"`first_stage_path` must be a file, got none\. Give first_stage/model\.pt of a fin"
    with pytest.raises(MonaiKDError, match=message) as raised:
        check_first_stage(str(path))
    assert "DOE" not in str(raised.value)


def test_no_path_and_a_file_are_fine(tmp_path):
    check_first_stage("")
    (tmp_path / "model.pt").write_bytes(b"weights")
    check_first_stage(str(tmp_path / "model.pt"))
