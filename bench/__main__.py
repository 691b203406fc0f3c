"""``./dev bench [NAME…]``: run the benchmarks and print their tables of ratios."""

import argparse
import importlib
import sys

from tests.stack import folder

NAMES = ("policyd", "mime", "milter", "login")


def main() -> int:
    """Run the named benchmarks, all of them when none is named."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--peers", action="store_true", help="measure the peers Debian ships, too")
    parser.add_argument("--quick", action="store_true", help="shorter runs, noisier figures")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}")
    folder.watch()  # a killed bench leaves nothing
    for name in options.names or NAMES:
        for table in importlib.import_module(f"bench.{name}").run(options):
            table.show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
