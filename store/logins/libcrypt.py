"""crypt(3) of the system (libxcrypt, Debian's libcrypt1), on bytes.

Old mail programs send passwords in Latin-1, which the packages that bind crypt(3) do not
accept. ctypes releases the GIL, so that a slow hash does not block other threads. The caller
must not pass NUL in either argument.
"""

import ctypes
import os

# sizeof(struct crypt_data), part of the ABI: the library accepts no less.
_SCRATCH_BYTES = 32768

_library = ctypes.CDLL("libcrypt.so.1", use_errno=True)
_library.crypt_rn.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
_library.crypt_rn.restype = ctypes.c_char_p


def crypt(secret: bytes, setting: bytes) -> bytes:
    """Return the hash of *secret* by *setting*, which may be a hash; raise ``OSError``."""
    scratch = ctypes.create_string_buffer(_SCRATCH_BYTES)
    found: bytes | None = _library.crypt_rn(secret, setting, scratch, _SCRATCH_BYTES)
    if found is None:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return found
