#!/usr/bin/python3 -IS
"""checkpassword for Dovecot 2.3: ``script.py [OPTION VALUE]… PROGRAM [ARGUMENT]…``.

Dovecot runs this once a login, as user dovecot, with neither PATH nor HOME. All it
does is in `client.py`, which Python keeps compiled; here stands only what
must hold before the first import: Python exits 1 on an uncaught exception, which
Dovecot reads as "wrong password", so whatever goes wrong must leave as 111.
"""

import posix
import sys

try:
    if __name__ == "__main__":
        # -I finds nothing beside the script. The packages are made by hand: Python would
        # read their folders and run a file for each. No os.path: os costs 0.9 ms.
        _path = __file__
        while True:
            try:
                _link = posix.readlink(_path)
            except OSError:
                break
            _path = _link if _link[0] == "/" else f"{_path.rpartition('/')[0]}/{_link}"
        _folder = _path.rpartition("/checkpassword")[0]
        _package = sys.modules["dovecot_auth"] = type(sys)("dovecot_auth")
        _package.__path__ = [_folder]
        _package = sys.modules["dovecot_auth.checkpassword"] = type(sys)("checkpassword")
        _package.__path__ = [f"{_folder}/checkpassword"]

    from dovecot_auth.checkpassword.client import main

    if __name__ == "__main__":
        posix._exit(main())  # noqa: SLF001 - tidying up costs 1 ms, and there is nothing to tidy
except BaseException as error:  # noqa: BLE001 - last line of defence: 1 would be a lie
    posix.write(2, f"checkpassword: {type(error).__name__}\n".encode())
    posix._exit(111)  # noqa: SLF001
