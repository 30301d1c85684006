# SPDX-License-Identifier: Apache-2.0
"""Why: class-activation maps behind one call."""
