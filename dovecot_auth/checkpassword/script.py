#!/usr/bin/python3 -IS
"""checkpassword for Dovecot 2.3: ``script.py [OPTION VALUE]… PROGRAM [ARGUMENT]…``.

Dovecot runs this once a login, as user dovecot, with neither PATH nor HOME. Its work is
in `client`, which Python keeps compiled. Only what must come before the first import
is here: Python exits 1 on an uncaught exception, which Dovecot reads as "wrong
password", so whatever goes wrong must leave as 111.

Also installed as dovecot_auth/checkpassword.py, where it lay in 0.1.0: the link
/opt/gatepost/checkpassword leads there until `gatepost setup` renews it.
"""

import posix
import sys

try:
    if __name__ == "__main__":
        # -I does not look beside the script. The packages are made by hand, as Python would
        # read their folders and run a file for each. No os.path: os costs 0.9 ms.
        _path = __file__
        while True:
            try:
                _link = posix.readlink(_path)
            except OSError:
                break
            _path = _link if _link[0] == "/" else f"{_path.rpartition('/')[0]}/{_link}"
        _folder = _path.rpartition("/checkpassword")[0]  # …/checkpassword/script.py or ….py
        for _name, _inside in (
            ("dovecot_auth", _folder),
            ("dovecot_auth.checkpassword", f"{_folder}/checkpassword"),
        ):
            _package = sys.modules[_name] = type(sys)(_name)
            _package.__path__ = [_inside]

    from dovecot_auth.checkpassword.client import main

    if __name__ == "__main__":
        posix._exit(main())  # noqa: SLF001 - tidying up costs 1 ms, and there is nothing to tidy
except BaseException as error:  # noqa: BLE001 - last line of defence: 1 would be a lie
    posix.write(2, f"checkpassword: {type(error).__name__}\n".encode())
    posix._exit(111)  # noqa: SLF001
