# SPDX-License-Identifier: Apache-2.0
"""What happens to one image and its regions (dictionary transforms only)."""
