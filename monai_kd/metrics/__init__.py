# SPDX-License-Identifier: Apache-2.0
"""How good, with how much certainty."""
