"""Root passes over the modes of files; what they forbid can be tested as root once that privilege is given up."""

import ctypes
import os

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def obey_modes():
    """Let the program that is executed next do with files only what their modes allow; for `preexec_fn`."""
    if os.geteuid() != 0:
        return
    for privilege in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if _LIBC.prctl(_PR_CAPBSET_DROP, privilege, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "a privilege could not be given up")
