# gatepost for Dovecot (Pigeonhole): file what the milter tagged as spam into Junk.
#
# For everybody, before each person's own script (Dovecot 2.3, conf.d/90-sieve.conf;
# protocol lmtp needs mail_plugins = $mail_plugins sieve):
#
#     plugin {
#       sieve_before = /etc/dovecot/sieve/spam-to-junk.sieve
#     }
#
# then: sievec /etc/dovecot/sieve/spam-to-junk.sieve
#
# It goes by X-Spam-Flag, not by the subject, which is for people to see. From mail that
# comes by SMTP the milter removes every X-Spam-* of a stranger before it adds its own. It
# does not see what sendmail(1) takes in on this machine, and believes clients in
# spam.trusted. Mail of theirs that says "YES" lands in Junk; no value keeps a mail out.
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
    fileinto :create "Junk";
    stop;
}
