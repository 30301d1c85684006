# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page from a run."""
