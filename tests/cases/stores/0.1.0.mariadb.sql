/*M!999999\- enable the sandbox mode */ 
CREATE TABLE `account` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `name` varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
  `role` varchar(32) NOT NULL,
  `condition` varchar(32) NOT NULL,
  `password` varchar(512) DEFAULT NULL,
  `initial` tinyint(1) NOT NULL,
  `identity` varchar(128) DEFAULT NULL,
  `second_mailbox` varchar(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin DEFAULT NULL,
  `mailbox` bigint(20) DEFAULT NULL,
  `mailbox_until` bigint(20) DEFAULT NULL,
  `attachments` bigint(20) DEFAULT NULL,
  `attachments_until` bigint(20) DEFAULT NULL,
  `send` varchar(255) DEFAULT NULL,
  `send_until` bigint(20) DEFAULT NULL,
  `created_at` bigint(20) NOT NULL,
  `removed_at` bigint(20) DEFAULT NULL,
  `rev` bigint(20) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uq_account_name` (`name`),
  KEY `ix_account_rev` (`rev`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `account` VALUES (1,'alice','staff','normal','{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$fNY7UguklNd33DvO4w1tZQ$Elj6BCOKBrpIdGd6ATtEqk1Wvm/s8eDzLN/sqgalSBY',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1795630298,NULL,3);
INSERT INTO `account` VALUES (2,'bob','alumni','normal',NULL,0,NULL,'bob@example.org',524288000,1803406302,NULL,NULL,'900/1h',NULL,1795630299,NULL,5);
CREATE TABLE `address` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `name` varchar(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `account_id` bigint(20) NOT NULL, PRIMARY KEY (`id`), UNIQUE KEY `uq_address_name` (`name`), KEY `ix_address_account_id` (`account_id`), CONSTRAINT `fk_address_account_id` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `address` VALUES (1,'alice.liddell',1);
CREATE TABLE `alembic_version` ( `version_num` varchar(32) NOT NULL, PRIMARY KEY (`version_num`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `alembic_version` VALUES ('0005');
CREATE TABLE `answer` ( `id` bigint(20) NOT NULL, `at` bigint(20) NOT NULL, `action` varchar(1024) NOT NULL, PRIMARY KEY (`id`), KEY `ix_answer_at` (`at`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `answer` VALUES (4711,1795630303,'');
CREATE TABLE `audit` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `at` bigint(20) NOT NULL, `who` varchar(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `action` varchar(32) NOT NULL, `subject` varchar(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `why` varchar(255) NOT NULL, `detail` text NOT NULL, PRIMARY KEY (`id`), KEY `ix_audit_at` (`at`), KEY `ix_audit_subject_at` (`subject`,`at`) ) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `audit` VALUES (1,1795630298,'root (cli)','account.add','alice','','{\"condition\": \"normal\", \"role\": \"staff\"}');
INSERT INTO `audit` VALUES (2,1795630299,'root (cli)','account.add','bob','','{\"condition\": \"normal\", \"role\": \"student\"}');
INSERT INTO `audit` VALUES (3,1795630300,'root (cli)','account.suspend','alice','lost phone','{\"scope\": \"sending\", \"until\": null}');
INSERT INTO `audit` VALUES (4,1795630301,'root (cli)','account.set','bob','','{\"send\": \"900/1h\"}');
INSERT INTO `audit` VALUES (5,1795630302,'root (cli)','account.graduate','bob','','{\"from\": \"student\", \"own_mailbox\": null, \"to\": \"alumni\", \"until\": 1803406302}');
INSERT INTO `audit` VALUES (6,1795630303,'root (cli)','whitelist.add','192.0.2.7/32','lab 7','{\"until\": 1795633903}');
CREATE TABLE `batch` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `at` bigint(20) NOT NULL, `messages` blob NOT NULL, `refused` text NOT NULL, `counts` text DEFAULT NULL, PRIMARY KEY (`id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
CREATE TABLE `graduation` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `account_id` bigint(20) NOT NULL, `at` bigint(20) NOT NULL, `role` varchar(32) NOT NULL, `mailbox` bigint(20) DEFAULT NULL, `mailbox_until` bigint(20) DEFAULT NULL, `undone_at` bigint(20) DEFAULT NULL, PRIMARY KEY (`id`), KEY `ix_graduation_account_id` (`account_id`), KEY `ix_graduation_at` (`at`), CONSTRAINT `fk_graduation_account_id` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `graduation` VALUES (1,2,1795630302,'student',NULL,NULL,NULL);
CREATE TABLE `guess` ( `subject` varchar(160) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `full_at` bigint(20) NOT NULL, PRIMARY KEY (`subject`), KEY `ix_guess_full_at` (`full_at`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
CREATE TABLE `notice` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `recipient` varchar(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `subject` varchar(255) NOT NULL, `text` text NOT NULL, `created_at` bigint(20) NOT NULL, `sent_at` bigint(20) DEFAULT NULL, PRIMARY KEY (`id`), KEY `ix_notice_sent_at` (`sent_at`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `notice` VALUES (1,'bob@mail.example.edu','Your mail account after graduation','You have graduated, and your mail account stays yours as an alumni account.\nIts mailbox holds 50 MiB (before: 500 MiB).\n\nUntil 2027-02-23 the old size stays. After that day a mailbox that holds more\ntakes no new mail until you delete some; nothing you have is deleted by us.\n',1795630302,NULL);
CREATE TABLE `origin` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `account_id` bigint(20) NOT NULL, `network` varchar(49) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `at` bigint(20) NOT NULL, PRIMARY KEY (`id`), UNIQUE KEY `uq_origin_account_id_network` (`account_id`,`network`), KEY `ix_origin_at` (`at`), CONSTRAINT `fk_origin_account_id` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `origin` VALUES (1,1,'192.0.2.7',1795630303);
CREATE TABLE `password_event` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `account_id` bigint(20) NOT NULL, `at` bigint(20) NOT NULL, `how` varchar(32) NOT NULL, PRIMARY KEY (`id`), KEY `ix_password_event_account_id` (`account_id`), CONSTRAINT `fk_password_event_account_id` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `password_event` VALUES (1,1,1795630298,'reset');
CREATE TABLE `revision` ( `id` int(11) NOT NULL, `value` bigint(20) NOT NULL, PRIMARY KEY (`id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `revision` VALUES (1,6);
CREATE TABLE `suspension` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `account_id` bigint(20) NOT NULL, `scope` varchar(32) NOT NULL, `reason` varchar(255) NOT NULL, `created_at` bigint(20) NOT NULL, `until` bigint(20) DEFAULT NULL, `ended_at` bigint(20) DEFAULT NULL, PRIMARY KEY (`id`), KEY `ix_suspension_account_id` (`account_id`), CONSTRAINT `fk_suspension_account_id` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `suspension` VALUES (1,1,'sending','lost phone',1795630300,NULL,NULL);
CREATE TABLE `usage` ( `subject` varchar(160) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `span` int(11) NOT NULL, `slot` bigint(20) NOT NULL, `used` int(11) NOT NULL, `past` varbinary(240) NOT NULL, `refused` int(11) NOT NULL, `until` bigint(20) NOT NULL, PRIMARY KEY (`subject`,`span`), KEY `ix_usage_until` (`until`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `usage` VALUES ('client 192.0.2.9',86400,1246965,5,'',0,1795717440);
CREATE TABLE `whitelist` ( `id` bigint(20) NOT NULL AUTO_INCREMENT, `network` varchar(49) NOT NULL, `created_at` bigint(20) NOT NULL, `expires_at` bigint(20) DEFAULT NULL, `ended_at` bigint(20) DEFAULT NULL, `reason` varchar(255) NOT NULL, `who` varchar(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, `rev` bigint(20) NOT NULL, PRIMARY KEY (`id`), KEY `ix_whitelist_expires_at` (`expires_at`), KEY `ix_whitelist_network` (`network`), KEY `ix_whitelist_rev` (`rev`) ) ENGINE=InnoDB AUTO_INCREMENT=2 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `whitelist` VALUES (1,'192.0.2.7/32',1795630303,1795633903,NULL,'lab 7','root (cli)',6);
