# SPDX-License-Identifier: Apache-2.0
"""Radiograph files, regions, datalists, splits, leak gate, phantom archive."""
