#!/bin/bash
# The mail server of a university before gatepost is added. Run as root on the booted
# machine; the same on Debian 12 (Postfix 3.7, Dovecot 2.3) and 13 (3.10, 2.4).
#
# example.edu: 20 accounts in a passwd-file, mailboxes under /var/vmail, IMAP, POP3, LMTP, quotas with
# a warning, a Sieve script before the users' own. Port 25 with greylisting, a list of bad clients,
# campus computers that relay without signing in (192.0.2.0/24); on Debian 13 behind postscreen.
# Submission with options of its own. OpenDKIM signs and verifies, also mail of sendmail(1).
set -euo pipefail
release=$(dovecot --version | cut -d. -f1-2)

# The addresses of the server, which is the first, and of the clients in the tests.
for address in 192.0.2.25 192.0.2.10 192.0.2.11 192.0.2.12 192.0.2.20 203.0.113.5 203.0.113.6 203.0.113.66; do
  ip address replace $address/32 dev lo
done

# ---- the machine
hostname mail.example.edu
echo '192.0.2.25 mail.example.edu mail' >>/etc/hosts
groupadd -f -g 5000 vmail
id -u vmail >/dev/null 2>&1 || useradd -u 5000 -g vmail -d /var/vmail -s /usr/sbin/nologin vmail
install -d -o vmail -g vmail -m 770 /var/vmail
useradd -m webapp
openssl req -x509 -nodes -days 3650 -subj /CN=mail.example.edu -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
  -addext subjectAltName=IP:192.0.2.25 -keyout /etc/ssl/private/mail.key -out /etc/ssl/certs/mail.pem 2>/dev/null
# A job whose output is mailed, as a site has many.
cat >/etc/cron.d/site <<'C'
MAILTO=anna@example.edu
*  *  *  *  *  root  test -e /root/report && cat /root/report && rm /root/report
C

# ---- accounts: 20, one with a quota of its own
accounts="anna bert carl dora emil frida gerd hanna ingo jana karl lena mara nils olga paul quirin rosa sven tina"
hash=$(doveadm pw -s SHA512-CRYPT -p 'old site password')
for name in $accounts; do
  extra=
  case $name:$release in
    bert:2.3) extra='userdb_quota_rule=*:storage=2G' ;;
    bert:*) extra='userdb_quota_storage_size=2G' ;;
  esac
  echo "$name:$hash:5000:5000::/var/vmail/$name::$extra"
done >/etc/dovecot/users
chown root:dovecot /etc/dovecot/users
chmod 640 /etc/dovecot/users

# ---- Dovecot
install -d /etc/dovecot/sieve
cat >/etc/dovecot/sieve/site.sieve <<'C'
require ["fileinto", "mailbox"];
if header :contains "List-Id" "lectures" { fileinto :create "Lectures"; stop; }
C
cat >/usr/local/bin/site-quota-warning <<'C'
#!/bin/sh
echo "$1 $2" >>/var/vmail/warned
C
chmod 755 /usr/local/bin/site-quota-warning
sed -i 's/^!include auth-system.conf.ext/#&/; s/^#!include auth-passwdfile.conf.ext/!include auth-passwdfile.conf.ext/' \
  /etc/dovecot/conf.d/10-auth.conf
sed -i '/^ssl_/d' /etc/dovecot/conf.d/10-ssl.conf
case $release in
2.3)
  sed -i '/^mail_location/d; /^mail_privileged_group/d' /etc/dovecot/conf.d/10-mail.conf
  cat >/etc/dovecot/conf.d/auth-passwdfile.conf.ext <<'C'
passdb {
  driver = passwd-file
  args = scheme=CRYPT username_format=%n /etc/dovecot/users
}
userdb {
  driver = passwd-file
  args = username_format=%n /etc/dovecot/users
}
C
  cat >/etc/dovecot/local.conf <<'C'
mail_location = maildir:~/Maildir
auth_username_format = %Ln
auth_mechanisms = plain login
ssl_cert = </etc/ssl/certs/mail.pem
ssl_key = </etc/ssl/private/mail.key
mail_plugins = $mail_plugins quota
protocol imap {
  mail_plugins = $mail_plugins imap_quota
  mail_max_userip_connections = 20
}
protocol lmtp {
  mail_plugins = $mail_plugins sieve
  postmaster_address = postmaster@example.edu
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=1G
  quota_rule2 = Trash:storage=+100M
  quota_warning = storage=90%% site-warning 90 %u
  sieve_before = /etc/dovecot/sieve/site.sieve
}
service site-warning {
  executable = script /usr/local/bin/site-quota-warning
  user = vmail
  unix_listener site-warning {
    mode = 0660
    user = vmail
  }
}
C
  ;;
*)
  sed -i '/^mail_driver/d; /^mail_path/d; /^mail_home/d; /^mail_inbox_path/d; /^mail_privileged_group/d' /etc/dovecot/conf.d/10-mail.conf
  cat >/etc/dovecot/conf.d/auth-passwdfile.conf.ext <<'C'
passdb passwd-file {
  passwd_file_path = /etc/dovecot/users
  default_password_scheme = crypt
}
userdb passwd-file {
  passwd_file_path = /etc/dovecot/users
}
C
  cat >/etc/dovecot/local.conf <<'C'
mail_driver = maildir
mail_path = ~/Maildir
mail_inbox_path =
auth_username_format = %{user | username | lower}
auth_mechanisms = plain login
ssl_server_cert_file = /etc/ssl/certs/mail.pem
ssl_server_key_file = /etc/ssl/private/mail.key
mail_plugins {
  quota = yes
}
protocol imap {
  mail_plugins {
    imap_quota = yes
  }
  mail_max_userip_connections = 20
}
protocol lmtp {
  mail_plugins {
    sieve = yes
  }
  postmaster_address = postmaster@example.edu
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
quota "User quota" {
  storage_size = 1G
  warning site {
    quota_storage_percentage = 90
    execute site-warning {
      args = 90 %{user}
    }
  }
}
sieve_script site {
  type = before
  path = /etc/dovecot/sieve/site.sieve
}
service site-warning {
  executable = script /usr/local/bin/site-quota-warning
  user = vmail
  unix_listener site-warning {
    mode = 0660
    user = vmail
  }
}
C
  ;;
esac
sievec /etc/dovecot/sieve/site.sieve
doveconf -n >/dev/null
# Dovecot 2.3, stopped seconds after it was started, may take the 90 s that systemd gives it.
timeout 5 systemctl stop dovecot || systemctl kill -s KILL dovecot
systemctl start dovecot

# ---- OpenDKIM: signs outgoing mail, verifies incoming mail; its socket is in the chroot
install -d -o opendkim -g opendkim -m 700 /etc/dkimkeys
opendkim-genkey -D /etc/dkimkeys -d example.edu -s s1
opendkim-genkey -D /etc/dkimkeys -d elsewhere.example -s s1e -b 2048
chown -R opendkim: /etc/dkimkeys
key() { grep -o '"[^"]*"' "/etc/dkimkeys/$1.txt" | tr -d '"\n'; }
{ echo "s1._domainkey.example.edu $(key s1)"; echo "s1e._domainkey.elsewhere.example $(key s1e)"; } >/etc/opendkim-testkeys
cat >/etc/opendkim.conf <<'C'
Syslog yes
UMask 007
UserID opendkim
Mode sv
Domain example.edu
Selector s1
KeyFile /etc/dkimkeys/s1.private
Canonicalization relaxed/simple
OversignHeaders From
SignHeaders *,+subject
Socket local:/var/spool/postfix/opendkim/opendkim.sock
PidFile /run/opendkim/opendkim.pid
InternalHosts /etc/opendkim-hosts
TestPublicKeys /etc/opendkim-testkeys
AuthservID mail.example.edu
C
printf '127.0.0.1\n::1\nlocalhost\n192.0.2.0/24\n' >/etc/opendkim-hosts
install -d -o opendkim -g postfix -m 750 /var/spool/postfix/opendkim
adduser -q postfix opendkim
systemctl restart opendkim

# ---- greylisting: a second's delay is enough to see it work
sed -i 's/^POSTGREY_OPTS=.*/POSTGREY_OPTS="--inet=127.0.0.1:10023 --delay=1"/' /etc/default/postgrey
systemctl restart postgrey

# ---- Postfix
echo '203.0.113.66 REJECT listed as a source of spam' >/etc/postfix/bad-clients.cidr
echo '/^X-Client-Secret:/ IGNORE' >/etc/postfix/submission-headers.regexp
for name in $accounts; do echo "$name@example.edu $name"; done >/etc/postfix/mailboxes
for name in $accounts; do echo "$name@example.edu $name"; done >/etc/postfix/senders
printf 'info@example.edu anna@example.edu\npostmaster@example.edu anna@example.edu\nroot@example.edu anna@example.edu\n' >/etc/postfix/aliases-virtual
postmap /etc/postfix/mailboxes /etc/postfix/senders /etc/postfix/aliases-virtual
echo 'root: anna@example.edu' >>/etc/aliases
newaliases
cat >/etc/postfix/main.cf <<'C'
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
compatibility_level = 3.6
myhostname = mail.example.edu
myorigin = example.edu
mydestination = $myhostname, localhost.localdomain, localhost
mynetworks = 127.0.0.0/8 [::1]/128 192.0.2.0/24
relayhost =
inet_interfaces = all
recipient_delimiter = +
biff = no
append_dot_mydomain = no
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mailbox_size_limit = 0
message_size_limit = 20480000

# TLS
smtpd_tls_cert_file = /etc/ssl/certs/mail.pem
smtpd_tls_key_file = /etc/ssl/private/mail.key
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes

# our mailboxes
virtual_mailbox_domains = example.edu
virtual_mailbox_maps = hash:/etc/postfix/mailboxes
virtual_alias_maps = hash:/etc/postfix/aliases-virtual
virtual_transport = lmtp:unix:private/dovecot-lmtp
transport_maps = inline:{ elsewhere.example=discard: }

smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_sender_login_maps = hash:/etc/postfix/senders

# who may send what
smtpd_helo_required = yes
smtpd_recipient_restrictions =
    permit_mynetworks,
    permit_sasl_authenticated,
    reject_unauth_destination,
    # spammers
    check_client_access cidr:/etc/postfix/bad-clients.cidr,
    check_policy_service inet:127.0.0.1:10023,
    permit
smtpd_data_restrictions = reject_unauth_pipelining, permit

# DKIM
milter_default_action = accept
smtpd_milters = unix:/opendkim/opendkim.sock
non_smtpd_milters = $smtpd_milters
C
cat >>/etc/postfix/master.cf <<'C'
# our submission service
submission inet n       -       y       -       30      smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_security_options=noanonymous,noplaintext
  -o smtpd_sasl_tls_security_options=noanonymous
  -o smtpd_client_connection_count_limit=20
  -o smtpd_sender_restrictions=reject_sender_login_mismatch
  -o smtpd_recipient_restrictions=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
  -o cleanup_service_name=subclean
subclean  unix  n       -       y       -       0       cleanup
  -o header_checks=regexp:/etc/postfix/submission-headers.regexp
C
if [ "$release" != 2.3 ]; then # postscreen in front of port 25
  postconf -MX smtp/inet
  postconf -Me 'smtp/inet=smtp inet n - y - 1 postscreen' 'smtpd/pass=smtpd pass - - y - - smtpd' \
    'dnsblog/unix=dnsblog unix - - y - 0 dnsblog' 'tlsproxy/unix=tlsproxy unix - - y - 0 tlsproxy'
  postconf -e 'postscreen_access_list = permit_mynetworks' 'postscreen_greet_action = enforce' 'postscreen_greet_wait = 1s'
fi
postfix check
systemctl restart postfix
# This network has no name server, and spamd would wait 15 s for one with each mail.
echo "dns_available no" >>/etc/spamassassin/local.cf
systemctl enable -q spamd 2>/dev/null || systemctl enable -q spamassassin
systemctl restart spamd 2>/dev/null || systemctl restart spamassassin
