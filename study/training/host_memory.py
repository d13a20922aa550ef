"""How this process takes memory from the system."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3)


def keep_freed_memory() -> None:
    """What a step frees stays with the process, for the next step to take: up to 256 MB, of blocks below 32 MB.

    glibc gives it back, and then each page of 4 KB costs a fault; benchmarks/step.py tells what that is for a
    convolutional model. Where there is another allocator this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(MMAP_THRESHOLD, 2**25)  # the most that it takes
        mallopt(TRIM_THRESHOLD, 2**28)
