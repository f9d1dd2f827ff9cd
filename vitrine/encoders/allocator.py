"""Memory for the forward pass on a CPU."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_BLOCK_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Have glibc keep the blocks that a layer frees for the next one; elsewhere do nothing.

    By default it hands blocks of tens of megabytes back to the system at once. To get them again costs a page fault
    for each 4 KiB, which took as long as the network itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
