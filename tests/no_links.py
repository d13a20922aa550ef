"""A process whose kernel refuses hard links, as FAT and some FUSE file systems do."""

import ctypes
import errno
import platform
import struct

CALLS = {"x86_64": (86, 265), "aarch64": (37,)}  # link, linkat
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def refuse_links() -> None:
    """From now on link() and linkat() fail with EPERM in this process: a seccomp filter, which nothing can take away."""
    calls = CALLS[platform.machine()]
    steps = [
        (LOAD, 0, 0, 0),
        *((JUMP_IF_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, ERRNO | errno.EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, program, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "this kernel takes no filter")
