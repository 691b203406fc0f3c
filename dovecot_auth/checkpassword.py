#!/usr/bin/python3 -IS
"""checkpassword for Dovecot 2.3: ``checkpassword.py [OPTION VALUE]… PROGRAM [ARGUMENT]…``.

Dovecot runs this once a login, as user dovecot, with neither PATH nor HOME. All it
does is in `dovecot_auth.client`, which Python keeps compiled; here stands only what
must hold before the first import: Python exits 1 on an uncaught exception, which
Dovecot reads as "wrong password", so whatever goes wrong must leave as 111.
"""

try:
    import os
    import sys

    if __name__ == "__main__":
        # -I finds nothing beside the script without this; pathlib would cost 5 ms.
        _folder = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
        sys.path.insert(0, os.path.dirname(_folder))  # noqa: PTH120

    from dovecot_auth.client import main

    if __name__ == "__main__":
        sys.exit(main())
except SystemExit:
    raise
except BaseException as error:  # noqa: BLE001 - last line of defence: 1 would be a lie
    import posix

    posix.write(2, f"checkpassword: {type(error).__name__}\n".encode())
    posix._exit(111)  # noqa: SLF001 - os may be what failed to load
