# SPDX-License-Identifier: Apache-2.0
"""What is minimised: tensors in, a scalar out."""
