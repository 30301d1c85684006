# SPDX-License-Identifier: Apache-2.0
"""What happens between iterations, one thing on one event each."""
