# SPDX-License-Identifier: Apache-2.0
"""Write a tutorial's notebook from its script: run it, keep what it shows, drop what varies.

    python .ci/write_notebook.py tutorials/hkd_pneumonia.py

Needs the extra ``tutorials``. Pictures are kept with 128 colors, so that the file stays small.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbformat
from PIL import Image


def write_notebook(script: Path) -> Path:
    """Run a script's notebook in an empty folder and write it beside the script.

    Args:
        script: jupytext percent script.

    Returns:
        The notebook.
    """
    notebook = jupytext.read(script)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = nbclient.NotebookClient(
            notebook, timeout=3600, record_timing=False, resources=resources
        )
        client.execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"], cell.metadata = f"cell-{number:02d}", {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_shown(output)]
            for output in cell.outputs:
                _shrink_picture(output)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    path = script.with_suffix(".ipynb")
    nbformat.write(notebook, path)
    return path


def _is_shown(output: Any) -> bool:
    """Return whether a reader needs it: warnings name folders of this machine."""
    return output.output_type in ("display_data", "execute_result") or output.name == "stdout"


def _shrink_picture(output: Any) -> None:
    if "image/png" not in output.get("data", {}):
        return
    picture = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")
    small = io.BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    output.data["image/png"] = base64.b64encode(small.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_notebook(Path(name))
