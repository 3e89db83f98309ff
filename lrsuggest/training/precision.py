"""The number formats of training, named where torch need not be loaded."""

from typing import Literal

# fp32; or the forward pass under autocast in bf16 or fp16, the latter with a gradient scaler.
Precision = Literal["fp32", "bf16", "fp16"]
