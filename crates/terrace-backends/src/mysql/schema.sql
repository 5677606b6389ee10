-- What lies in the database of a store; `{p}` stands for the prefix of its tables. Every statement ends with two semicolons.
-- A row is found by the first bytes of its flat key (`head`) and, where the key is longer, a hash of all of it (`hash`),
-- since an index takes no longer ones. Row 1 of the sequence is the highest version used, row 2 the highest token.
CREATE TABLE IF NOT EXISTS {p}_format (version INT NOT NULL) ENGINE=InnoDB;;
CREATE TABLE IF NOT EXISTS {p}_sequence (id INT PRIMARY KEY, value BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB;;
INSERT IGNORE INTO {p}_sequence VALUES (1, 0), (2, 0);;
CREATE TABLE IF NOT EXISTS {p}_entries (
  head VARBINARY(2000) NOT NULL, hash VARBINARY(16) NOT NULL, flat MEDIUMBLOB NOT NULL, space VARBINARY(256) NOT NULL,
  version BIGINT UNSIGNED NOT NULL, ends BIGINT UNSIGNED NOT NULL, size BIGINT UNSIGNED NOT NULL, record LONGBLOB NOT NULL,
  PRIMARY KEY (head, hash), KEY {p}_entries_ends (ends), KEY {p}_entries_space (space)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;;
CREATE TABLE IF NOT EXISTS {p}_tombs (
  head VARBINARY(2000) NOT NULL, hash VARBINARY(16) NOT NULL, version BIGINT UNSIGNED NOT NULL, ends BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (head, hash), KEY {p}_tombs_ends (ends)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC;;
CREATE TABLE IF NOT EXISTS {p}_floors (
  space VARBINARY(256) PRIMARY KEY, version BIGINT UNSIGNED NOT NULL, ends BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;;
CREATE TABLE IF NOT EXISTS {p}_amounts (
  space VARBINARY(256) PRIMARY KEY, count BIGINT NOT NULL, bytes BIGINT NOT NULL
) ENGINE=InnoDB;;
CREATE TABLE IF NOT EXISTS {p}_leases (
  hash VARBINARY(16) PRIMARY KEY, token BIGINT UNSIGNED NOT NULL, holder VARBINARY(16) NOT NULL, ends BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;;

-- Judges one write and applies it, within a transaction that holds row 1 of the sequence, and says what became of it.
-- Conditions: * none, 0 absent, = this version, > carries this version.
CREATE PROCEDURE IF NOT EXISTS {p}_apply(
  kind CHAR(1), in_space VARBINARY(256), in_head VARBINARY(2000), in_hash VARBINARY(16), in_flat MEDIUMBLOB,
  cond CHAR(1), given BIGINT UNSIGNED, now_ms BIGINT UNSIGNED, forget BIGINT UNSIGNED,
  in_ends BIGINT UNSIGNED, in_size BIGINT UNSIGNED, in_record LONGBLOB
)
BEGIN
  DECLARE was_version, was_ends, was_size, live, tomb, lowest, drawn BIGINT UNSIGNED;
  DECLARE met BOOLEAN DEFAULT TRUE;
  DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
  SELECT e.version, e.ends, e.size INTO was_version, was_ends, was_size
    FROM {p}_entries e WHERE e.head = in_head AND e.hash = in_hash;
  IF was_version IS NOT NULL AND (was_ends = 0 OR was_ends > now_ms) THEN
    SET live = was_version;
  END IF;
  IF cond = '0' THEN
    SET met = live IS NULL;
  ELSEIF cond = '=' THEN
    SET met = COALESCE(live = given, FALSE);
  ELSEIF cond = '>' THEN
    SELECT t.version INTO tomb FROM {p}_tombs t WHERE t.head = in_head AND t.hash = in_hash;
    SELECT COALESCE(MAX(f.version), 0) INTO lowest FROM {p}_floors f WHERE f.space = in_space OR f.space = '';
    SET met = given > GREATEST(lowest, COALESCE(tomb, 0), COALESCE(was_version, 0));
  END IF;
  IF met THEN
    IF cond = '>' THEN
      SET drawn = given;
      UPDATE {p}_sequence SET value = GREATEST(value, given) WHERE id = 1;
    ELSE
      UPDATE {p}_sequence SET value = value + 1 WHERE id = 1;
      SELECT value INTO drawn FROM {p}_sequence WHERE id = 1;
    END IF;
    IF kind = 'P' THEN
      INSERT INTO {p}_entries VALUES (in_head, in_hash, in_flat, in_space, drawn, in_ends, in_size, in_record)
        ON DUPLICATE KEY UPDATE version = drawn, ends = in_ends, size = in_size, record = in_record;
      DELETE FROM {p}_tombs WHERE head = in_head AND hash = in_hash;
      IF was_version IS NULL OR was_size <> in_size THEN
        INSERT INTO {p}_amounts VALUES (in_space, 1, in_size) ON DUPLICATE KEY UPDATE
          count = count + (was_version IS NULL), bytes = bytes + CAST(in_size AS SIGNED) - CAST(COALESCE(was_size, 0) AS SIGNED);
      END IF;
    ELSE
      IF was_version IS NOT NULL THEN
        DELETE FROM {p}_entries WHERE head = in_head AND hash = in_hash;
        UPDATE {p}_amounts SET count = count - 1, bytes = bytes - CAST(was_size AS SIGNED) WHERE space = in_space;
        DELETE FROM {p}_amounts WHERE space = in_space AND count = 0;
      END IF;
      INSERT INTO {p}_tombs VALUES (in_head, in_hash, drawn, forget) ON DUPLICATE KEY UPDATE version = drawn, ends = forget;
    END IF;
    SELECT 1 AS done, drawn AS version, live IS NOT NULL AS existed;
  ELSE
    SELECT 0 AS done, live AS version, live IS NOT NULL AS existed;
  END IF;
END;;

-- One write in a transaction of its own: one round trip, during which nobody else's lock is waited for twice.
CREATE PROCEDURE IF NOT EXISTS {p}_write(
  kind CHAR(1), in_space VARBINARY(256), in_head VARBINARY(2000), in_hash VARBINARY(16), in_flat MEDIUMBLOB,
  cond CHAR(1), given BIGINT UNSIGNED, now_ms BIGINT UNSIGNED, forget BIGINT UNSIGNED,
  in_ends BIGINT UNSIGNED, in_size BIGINT UNSIGNED, in_record LONGBLOB
)
BEGIN
  DECLARE locked BIGINT UNSIGNED;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
  START TRANSACTION;
  SELECT value INTO locked FROM {p}_sequence WHERE id = 1 FOR UPDATE;
  CALL {p}_apply(kind, in_space, in_head, in_hash, in_flat, cond, given, now_ms, forget, in_ends, in_size, in_record);
  COMMIT;
END;;

-- Grants a lease, unless somebody holds it. One that the holder knows to be its own is judged by the holder's clock,
-- which says whether it has ended; any other by the server's.
CREATE PROCEDURE IF NOT EXISTS {p}_acquire(
  of VARBINARY(16), me VARBINARY(16), lasts BIGINT UNSIGNED, known BIGINT UNSIGNED, ended BOOLEAN
)
BEGIN
  DECLARE locked, l_token, l_ends, now_ms BIGINT UNSIGNED;
  DECLARE l_holder VARBINARY(16);
  DECLARE held BOOLEAN DEFAULT FALSE;
  DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
  START TRANSACTION;
  SELECT value INTO locked FROM {p}_sequence WHERE id = 2 FOR UPDATE;
  SET now_ms = ROUND(UNIX_TIMESTAMP(SYSDATE(3)) * 1000);
  SELECT token, holder, ends INTO l_token, l_holder, l_ends FROM {p}_leases WHERE hash = of;
  IF l_token IS NOT NULL THEN
    SET held = IF(l_holder = me AND COALESCE(l_token = known, FALSE), NOT ended, l_ends > now_ms);
  END IF;
  IF held THEN
    COMMIT;
    SELECT NULL AS token;
  ELSE
    UPDATE {p}_sequence SET value = value + 1 WHERE id = 2;
    INSERT INTO {p}_leases VALUES (of, locked + 1, me, now_ms + lasts)
      ON DUPLICATE KEY UPDATE token = locked + 1, holder = me, ends = now_ms + lasts;
    COMMIT;
    SELECT locked + 1 AS token;
  END IF;
END;;
