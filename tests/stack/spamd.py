"""A private spamd: SpamAssassin's own rules, no network, no learning, few plugins.

What a site tunes (plugins, Bayes, DNS lists) would make a verdict depend on the
machine the test runs on, and a start three times slower.
"""

from tests.stack import programs
from tests.stack.layout import Layout
from tests.stack.ports import HOST
from tests.stack.probes import listens
from tests.stack.process import Process

USER = "debian-spamd"
# Nothing is scanned without Check; the others read headers, text and MIME parts.
_PLUGINS = ("Check", "HeaderEval", "BodyEval", "MIMEEval")


def process(layout: Layout) -> Process:
    """Return the server, not yet started."""
    site = layout.root / "spamd"
    site.mkdir()
    loads = "".join(f"loadplugin Mail::SpamAssassin::Plugin::{name}\n" for name in _PLUGINS)
    (site / "init.pre").write_text(loads)
    (site / "local.cf").write_text("use_bayes 0\n")
    return Process(
        name="spamd",
        command=[
            programs.path("spamd"), "--local", "--nouser-config", "--syslog=stderr",
            f"--siteconfigpath={site}", f"--listen={HOST}", f"--port={layout.ports.spamd}",
            "--min-children=1", "--max-children=3",
        ],
        log=layout.log / "spamd.log",
        ready=lambda: listens(layout.ports.spamd),
        # Started as its user: a process that changes user outlives us (see Process).
        user=USER,
        group=USER,
        env={"PATH": "/usr/bin:/bin", "HOME": str(site)},
    )  # fmt: skip
