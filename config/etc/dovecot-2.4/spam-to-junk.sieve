# gatepost for Dovecot (Pigeonhole): file what the milter tagged as spam into Junk.
#
# For all accounts, before each user's own script (Dovecot 2.4, conf.d/90-sieve.conf):
#
#     protocol lmtp {
#       mail_plugins {
#         sieve = yes
#       }
#     }
#     sieve_script spam-to-junk {
#       type = before
#       path = /etc/dovecot/sieve/spam-to-junk.sieve
#     }
#
# then: sievec /etc/dovecot/sieve/spam-to-junk.sieve
#
# It tests X-Spam-Flag, not the subject, which is for people. From mail that comes by SMTP the
# milter removes every X-Spam-* header before it adds its own. It does not see mail submitted by
# sendmail(1) on this machine, and keeps the headers of clients in spam.trusted. Their mail with
# "YES" lands in Junk; no value keeps a mail out of it.
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
    fileinto :create "Junk";
    stop;
}
