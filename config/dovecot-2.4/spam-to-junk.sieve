# gatepost for Dovecot (Pigeonhole): file what the milter tagged as spam into Junk.
#
# For everybody, before each person's own script (Dovecot 2.4, conf.d/90-sieve.conf):
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
# It goes by the milter's own field, which a stranger cannot forge: the milter removes
# X-Spam-* of strangers before it adds its own. The subject is for people to see.
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
    fileinto :create "Junk";
    stop;
}
