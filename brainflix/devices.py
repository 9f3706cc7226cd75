"""What machines can do: the table that `brainflix plan` turns operations and bytes into hours with.

Peaks are the vendors' dense rates. ``share`` is the part of a peak that real training reaches: 40 % on an H100 is what
the method's own estimates assume; on a CPU 46 % of GEMM speed was measured for an MBM step.
"""

from __future__ import annotations

from dataclasses import dataclass

from brainflix.errors import InputError


@dataclass(frozen=True)
class Device:
    """A GPU, or the cores of a job without one.

    Attributes:
        half, single: peak of 16-bit and of 32-bit matrix products, FLOP/s (32 bit: TF32 off, as torch has it).
        share: of the peak that is reached.
    """

    half: float
    single: float
    share: float

    def seconds(self, flops: float, precision: str) -> float:
        """Time for so many operations, 2 per multiply-add."""
        return flops / (self.share * (self.single if precision == "float32" else self.half))


DEVICES = {
    "H100": Device(half=790e12, single=67e12, share=0.4),
    "A100": Device(half=312e12, single=19.5e12, share=0.4),
    "V100": Device(half=125e12, single=15.7e12, share=0.4),  # its 16-bit products are float16 alone
    "CPU": Device(half=137e9, single=137e9, share=0.46),  # one core with AVX-512, in float32
}
CORE = DEVICES["CPU"]
READ_RATE = 200e6  # bytes/s of raw files that one job takes in: a shared file system, and decompression
WRITE_RATE = 500e6
START_SECONDS = 10.0  # of Python, torch and Snakemake, a job


def device(name: str) -> Device:
    """A device of the table.

    Raises:
        InputError: none of that name.
    """
    if name not in DEVICES:
        raise InputError.about("--device", expected=f"one of {', '.join(DEVICES)}", found=name)
    return DEVICES[name]
