# SPDX-License-Identifier: Apache-2.0
"""Teachers, backbones, and how their weights are loaded."""
