CREATE TABLE account ( id INTEGER NOT NULL, name VARCHAR(128) NOT NULL, role VARCHAR(32) NOT NULL, condition VARCHAR(32) NOT NULL, password VARCHAR(512), initial BOOLEAN NOT NULL, identity VARCHAR(128), second_mailbox VARCHAR(320), mailbox BIGINT, mailbox_until BIGINT, attachments BIGINT, attachments_until BIGINT, send VARCHAR(255), send_until BIGINT, created_at BIGINT NOT NULL, removed_at BIGINT, rev BIGINT NOT NULL, CONSTRAINT pk_account PRIMARY KEY (id), CONSTRAINT uq_account_name UNIQUE (name) );
INSERT INTO "account" VALUES(1,'alice','staff','normal','{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$zpbr/ft+bUmpS9Q/eb2/Uw$KK9js6d4c2pHxp2I5XySNnFSKEesuWRip2vvr3e19XQ',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795630282,NULL,3);
INSERT INTO "account" VALUES(2,'bob','alumni','normal',NULL,0,NULL,'bob@example.org',524288000,1803406286,NULL,NULL,'900/1h',NULL,1795630283,NULL,5);
CREATE TABLE address ( id INTEGER NOT NULL, name VARCHAR(320) NOT NULL, account_id INTEGER NOT NULL, CONSTRAINT pk_address PRIMARY KEY (id), CONSTRAINT fk_address_account_id FOREIGN KEY(account_id) REFERENCES account (id), CONSTRAINT uq_address_name UNIQUE (name) );
INSERT INTO "address" VALUES(1,'alice.liddell',1);
CREATE TABLE alembic_version ( version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num) );
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE answer ( id INTEGER NOT NULL, at BIGINT NOT NULL, action VARCHAR(1024) NOT NULL, CONSTRAINT pk_answer PRIMARY KEY (id) );
CREATE TABLE audit ( id INTEGER NOT NULL, at BIGINT NOT NULL, who VARCHAR(320) NOT NULL, action VARCHAR(32) NOT NULL, subject VARCHAR(320) NOT NULL, why VARCHAR(255) NOT NULL, detail TEXT NOT NULL, CONSTRAINT pk_audit PRIMARY KEY (id) );
INSERT INTO "audit" VALUES(1,1795630282,'root (cli)','account.add','alice','','{"condition": "normal", "role": "staff"}');
INSERT INTO "audit" VALUES(2,1795630283,'root (cli)','account.add','bob','','{"condition": "normal", "role": "student"}');
INSERT INTO "audit" VALUES(3,1795630283,'root (cli)','account.suspend','alice','lost phone','{"scope": "sending", "until": null}');
INSERT INTO "audit" VALUES(4,1795630285,'root (cli)','account.set','bob','','{"send": "900/1h"}');
INSERT INTO "audit" VALUES(5,1795630286,'root (cli)','account.graduate','bob','','{"from": "student", "own_mailbox": null, "to": "alumni", "until": 1803406286}');
INSERT INTO "audit" VALUES(6,1795630286,'root (cli)','whitelist.add','192.0.2.7/32','lab 7','{"until": 1795633886}');
CREATE TABLE batch ( id INTEGER NOT NULL, at BIGINT NOT NULL, messages BLOB NOT NULL, refused TEXT NOT NULL, counts TEXT, CONSTRAINT pk_batch PRIMARY KEY (id) );
INSERT INTO "batch" VALUES(1,1795630287,X'0000000000001267','{}',NULL);
CREATE TABLE graduation ( id INTEGER NOT NULL, account_id INTEGER NOT NULL, at BIGINT NOT NULL, role VARCHAR(32) NOT NULL, mailbox BIGINT, mailbox_until BIGINT, undone_at BIGINT, CONSTRAINT pk_graduation PRIMARY KEY (id), CONSTRAINT fk_graduation_account_id FOREIGN KEY(account_id) REFERENCES account (id) );
INSERT INTO "graduation" VALUES(1,2,1795630286,'student',NULL,NULL,NULL);
CREATE TABLE guess ( subject VARCHAR(160) NOT NULL, full_at BIGINT NOT NULL, CONSTRAINT pk_guess PRIMARY KEY (subject) );
CREATE TABLE notice ( id INTEGER NOT NULL, recipient VARCHAR(320) NOT NULL, subject VARCHAR(255) NOT NULL, text TEXT NOT NULL, created_at BIGINT NOT NULL, sent_at BIGINT, CONSTRAINT pk_notice PRIMARY KEY (id) );
INSERT INTO "notice" VALUES(1,'bob@mail.example.edu','Your mail account after graduation','You have graduated, and your mail account stays yours as an alumni account.
Its mailbox holds 50 MiB (before: 500 MiB).

Until 2027-02-23 the old size stays. After that day a mailbox that holds more
takes no new mail until you delete some; nothing you have is deleted by us.
',1795630286,NULL);
CREATE TABLE origin ( id INTEGER NOT NULL, account_id INTEGER NOT NULL, network VARCHAR(49) NOT NULL, at BIGINT NOT NULL, CONSTRAINT pk_origin PRIMARY KEY (id), CONSTRAINT fk_origin_account_id FOREIGN KEY(account_id) REFERENCES account (id), CONSTRAINT uq_origin_account_id_network UNIQUE (account_id, network) );
INSERT INTO "origin" VALUES(1,1,'192.0.2.7',1795630287);
CREATE TABLE password_event ( id INTEGER NOT NULL, account_id INTEGER NOT NULL, at BIGINT NOT NULL, how VARCHAR(32) NOT NULL, CONSTRAINT pk_password_event PRIMARY KEY (id), CONSTRAINT fk_password_event_account_id FOREIGN KEY(account_id) REFERENCES account (id) );
INSERT INTO "password_event" VALUES(1,1,1795630282,'reset');
CREATE TABLE revision ( id INTEGER NOT NULL, value BIGINT NOT NULL, CONSTRAINT pk_revision PRIMARY KEY (id) );
INSERT INTO "revision" VALUES(1,6);
CREATE TABLE suspension ( id INTEGER NOT NULL, account_id INTEGER NOT NULL, scope VARCHAR(32) NOT NULL, reason VARCHAR(255) NOT NULL, created_at BIGINT NOT NULL, until BIGINT, ended_at BIGINT, CONSTRAINT pk_suspension PRIMARY KEY (id), CONSTRAINT fk_suspension_account_id FOREIGN KEY(account_id) REFERENCES account (id) );
INSERT INTO "suspension" VALUES(1,1,'sending','lost phone',1795630283,NULL,NULL);
CREATE TABLE usage ( subject VARCHAR(160) NOT NULL, span INTEGER NOT NULL, slot BIGINT NOT NULL, used INTEGER NOT NULL, past BLOB NOT NULL, refused INTEGER NOT NULL, until BIGINT NOT NULL, CONSTRAINT pk_usage PRIMARY KEY (subject, span) );
INSERT INTO "usage" VALUES('client 192.0.2.9',86400,1246965,5,X'',0,1795717440);
CREATE TABLE whitelist ( id INTEGER NOT NULL, network VARCHAR(49) NOT NULL, created_at BIGINT NOT NULL, expires_at BIGINT, ended_at BIGINT, reason VARCHAR(255) NOT NULL, who VARCHAR(320) NOT NULL, rev BIGINT NOT NULL, CONSTRAINT pk_whitelist PRIMARY KEY (id) );
INSERT INTO "whitelist" VALUES(1,'192.0.2.7/32',1795630286,1795633886,NULL,'lab 7','root (cli)',6);
CREATE INDEX ix_account_rev ON account (rev);
CREATE INDEX ix_answer_at ON answer (at);
CREATE INDEX ix_audit_at ON audit (at);
CREATE INDEX ix_audit_subject_at ON audit (subject, at);
CREATE INDEX ix_usage_until ON usage (until);
CREATE INDEX ix_whitelist_expires_at ON whitelist (expires_at);
CREATE INDEX ix_whitelist_network ON whitelist (network);
CREATE INDEX ix_whitelist_rev ON whitelist (rev);
CREATE INDEX ix_address_account_id ON address (account_id);
CREATE INDEX ix_password_event_account_id ON password_event (account_id);
CREATE INDEX ix_suspension_account_id ON suspension (account_id);
CREATE INDEX ix_guess_full_at ON guess (full_at);
CREATE INDEX ix_origin_at ON origin (at);
CREATE INDEX ix_graduation_account_id ON graduation (account_id);
CREATE INDEX ix_graduation_at ON graduation (at);
CREATE INDEX ix_notice_sent_at ON notice (sent_at);
