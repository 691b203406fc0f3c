"""Which Dovecot is installed, and what a private 2.4 needs besides our snippets."""

import subprocess
from functools import cache

from tests.stack import programs

# As BASE in tests.stack.dovecot, in the syntax of 2.4.
BASE_2_4 = """\
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {root}/dovecot/run
state_dir = {root}/dovecot/state
instance_name = {root.name}
log_path = {root}/log/dovecot.log
auth_verbose = yes
listen = 127.0.0.1
protocols {{
  imap = yes
  pop3 = yes
}}
ssl = yes
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
mail_driver = maildir
mail_path = ~/Maildir
# A wrong password is answered at once: the tests give more of them than a person.
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@mail.example.edu
}}
service imap-login {{
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {ports.pop3}
  }}
  inet_listener pop3s {{
    port = {ports.pop3s}
  }}
}}
!include conf.d/*.conf
"""


@cache
def release() -> str:
    """Return ``"2.3"`` or ``"2.4"``: the folder of config/ that fits."""
    done = subprocess.run(
        [programs.path("dovecot"), "--version"], capture_output=True, text=True, check=True
    )
    return "2.3" if done.stdout.startswith("2.3.") else "2.4"
