# SPDX-License-Identifier: Apache-2.0
"""Who asks whom in one iteration."""
