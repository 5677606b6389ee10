-- What lies in the schema of a store; `{schema}` stands for its name. Versions are unsigned numbers less 2^63, so that
-- they order as they do. A row is found by the first bytes of its flat key (`head`) and, where the key is longer, a hash of
-- all of it (`hash`), since an index takes no longer ones.
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.format (version int NOT NULL);
CREATE SEQUENCE IF NOT EXISTS {schema}.versions AS bigint MINVALUE -9223372036854775808 START -9223372036854775807;
CREATE TABLE IF NOT EXISTS {schema}.entries (
  head bytea NOT NULL, hash bytea NOT NULL, flat bytea NOT NULL, space bytea NOT NULL,
  version bigint NOT NULL, ends bigint NOT NULL, size bigint NOT NULL, record bytea NOT NULL,
  PRIMARY KEY (head, hash)
);
CREATE INDEX IF NOT EXISTS entries_ends ON {schema}.entries (ends) WHERE ends <> 0;
CREATE TABLE IF NOT EXISTS {schema}.tombs (
  head bytea NOT NULL, hash bytea NOT NULL, flat bytea NOT NULL, version bigint NOT NULL, ends bigint NOT NULL,
  PRIMARY KEY (head, hash)
);
CREATE INDEX IF NOT EXISTS tombs_ends ON {schema}.tombs (ends);
CREATE TABLE IF NOT EXISTS {schema}.floors (space bytea PRIMARY KEY, version bigint NOT NULL, ends bigint NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.amounts (
  space bytea NOT NULL, part int NOT NULL, count bigint NOT NULL, bytes bigint NOT NULL, PRIMARY KEY (space, part)
);
CREATE SEQUENCE IF NOT EXISTS {schema}.tokens AS bigint;
CREATE TABLE IF NOT EXISTS {schema}.leases (
  name bytea PRIMARY KEY, token bigint NOT NULL, holder bytea NOT NULL, ends timestamptz NOT NULL
);

-- Lets all later versions be above this one. Rare: only versions that come from elsewhere are ahead. To be called
-- before anything is drawn: altering waits for those who have drawn and not yet ended. The margin is for what they draw
-- between the look and the alteration.
CREATE OR REPLACE FUNCTION {schema}.raise(given bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF given > (SELECT last_value FROM {schema}.versions) THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('{schema}.raise', 0));
    IF given > (SELECT last_value FROM {schema}.versions) THEN
      EXECUTE 'ALTER SEQUENCE {schema}.versions RESTART WITH ' || (given + 1000000)::text;
    END IF;
  END IF;
END $$;

-- Changes the amounts of a namespace, in one of sixteen parts, so that writers seldom wait for each other.
CREATE OR REPLACE FUNCTION {schema}.count(of bytea, of_part int, more bigint, longer bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO {schema}.amounts AS a VALUES (of, of_part, more, longer)
  ON CONFLICT (space, part) DO UPDATE SET count = a.count + more, bytes = a.bytes + longer;
$$;

CREATE OR REPLACE FUNCTION {schema}.floor_of(of bytea) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(max(version), -9223372036854775808) FROM {schema}.floors WHERE space = of OR space = '';
$$;

-- Takes the locks of a call: all of the store and the namespaces shared, the keys alone; always in this order.
CREATE OR REPLACE FUNCTION {schema}.lock_keys(store bigint, spaces bigint[], keys bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE l bigint;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(store);
  FOREACH l IN ARRAY spaces LOOP PERFORM pg_advisory_xact_lock_shared(l); END LOOP;
  FOREACH l IN ARRAY keys LOOP PERFORM pg_advisory_xact_lock(l); END LOOP;
END $$;

-- Checks that some keys are as they were read, and applies writes whose conditions hold, in order.
-- Conditions: * none, 0 absent, = this version, > carries this version. One row a write: what became of it.
CREATE OR REPLACE FUNCTION {schema}.apply(
  store bigint, space_locks bigint[], key_locks bigint[], now bigint, forget bigint, channel text,
  c_heads bytea[], c_hashes bytea[], c_versions bigint[],
  kinds text[], spaces bytea[], heads bytea[], hashes bytea[], flats bytea[], parts int[],
  conditions text[], givens bigint[], over bigint[], sizes bigint[], records bytea[]
) RETURNS TABLE (done boolean, version bigint, existed boolean) LANGUAGE plpgsql AS $$
DECLARE
  was record; tomb bigint; current bigint; lowest bigint; met boolean; drawn bigint;
BEGIN
  PERFORM {schema}.lock_keys(store, space_locks, key_locks);
  SELECT max(g) INTO drawn FROM unnest(givens, conditions) AS x(g, c) WHERE c = '>';
  IF drawn IS NOT NULL THEN
    PERFORM {schema}.raise(drawn);
  END IF;
  FOR i IN 1 .. coalesce(array_length(c_heads, 1), 0) LOOP
    SELECT e.version INTO current FROM {schema}.entries e
      WHERE e.head = c_heads[i] AND e.hash = c_hashes[i] AND (e.ends = 0 OR e.ends > now);
    IF current IS DISTINCT FROM c_versions[i] THEN
      RAISE EXCEPTION 'something that was read has changed' USING ERRCODE = '40001';
    END IF;
  END LOOP;
  FOR i IN 1 .. coalesce(array_length(heads, 1), 0) LOOP
    SELECT e.version, e.ends, e.size INTO was FROM {schema}.entries e WHERE e.head = heads[i] AND e.hash = hashes[i];
    current := CASE WHEN was.version IS NOT NULL AND (was.ends = 0 OR was.ends > now) THEN was.version END;
    met := CASE conditions[i] WHEN '0' THEN current IS NULL WHEN '=' THEN coalesce(current = givens[i], false) ELSE true END;
    IF conditions[i] = '>' THEN
      SELECT t.version INTO tomb FROM {schema}.tombs t WHERE t.head = heads[i] AND t.hash = hashes[i];
      lowest := greatest({schema}.floor_of(spaces[i]), coalesce(tomb, -9223372036854775808), coalesce(was.version, -9223372036854775808));
      met := givens[i] > lowest;
    END IF;
    IF NOT met THEN
      done := false; version := current; existed := current IS NOT NULL;
      RETURN NEXT;
      CONTINUE;
    END IF;
    IF conditions[i] = '>' THEN
      drawn := givens[i];
    ELSE
      drawn := nextval('{schema}.versions');
    END IF;
    IF kinds[i] = 'P' THEN
      INSERT INTO {schema}.entries AS e VALUES (heads[i], hashes[i], flats[i], spaces[i], drawn, over[i], sizes[i], records[i])
        ON CONFLICT (head, hash) DO UPDATE SET version = drawn, ends = over[i], size = sizes[i], record = records[i];
      DELETE FROM {schema}.tombs t WHERE t.head = heads[i] AND t.hash = hashes[i];
      IF was.version IS NULL THEN
        PERFORM {schema}.count(spaces[i], parts[i], 1, sizes[i]);
      ELSIF was.size <> sizes[i] THEN
        PERFORM {schema}.count(spaces[i], parts[i], 0, sizes[i] - was.size);
      END IF;
    ELSE
      IF was.version IS NOT NULL THEN
        DELETE FROM {schema}.entries e WHERE e.head = heads[i] AND e.hash = hashes[i];
        PERFORM {schema}.count(spaces[i], parts[i], -1, -was.size);
      END IF;
      INSERT INTO {schema}.tombs VALUES (heads[i], hashes[i], flats[i], drawn, forget)
        ON CONFLICT ON CONSTRAINT tombs_pkey DO UPDATE SET version = drawn, ends = forget;
    END IF;
    PERFORM pg_notify(channel, kinds[i] || drawn::text || ' ' ||
      CASE WHEN length(flats[i]) < 5000 THEN encode(flats[i], 'base64') ELSE '' END);
    done := true; version := drawn; existed := current IS NOT NULL;
    RETURN NEXT;
  END LOOP;
END $$;

-- A version above those of all writes that have completed, and below those of all that will begin: it waits for
-- those under way, since one of them may have drawn its version and not yet be there to be read.
CREATE OR REPLACE FUNCTION {schema}.reserve(store bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(store);
  RETURN nextval('{schema}.versions');
END $$;

-- Removes every entry of a namespace, or of all where it is NULL, and returns how many live ones there were.
CREATE OR REPLACE FUNCTION {schema}.clear(store bigint, space_lock bigint, of bytea, now bigint, forget bigint, channel text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE live bigint; drawn bigint;
BEGIN
  IF of IS NULL THEN
    PERFORM pg_advisory_xact_lock(store);
  ELSE
    PERFORM pg_advisory_xact_lock_shared(store);
    PERFORM pg_advisory_xact_lock(space_lock);
  END IF;
  SELECT count(*) INTO live FROM {schema}.entries WHERE (of IS NULL OR space = of) AND (ends = 0 OR ends > now);
  DELETE FROM {schema}.entries WHERE of IS NULL OR space = of;
  DELETE FROM {schema}.amounts WHERE of IS NULL OR space = of;
  drawn := nextval('{schema}.versions');
  INSERT INTO {schema}.floors VALUES (coalesce(of, ''), drawn, forget)
    ON CONFLICT (space) DO UPDATE SET version = drawn, ends = forget;
  PERFORM pg_notify(channel, CASE WHEN of IS NULL THEN 'A' ELSE 'C' END || drawn::text || ' ' || encode(coalesce(of, ''), 'base64'));
  RETURN live;
END $$;

-- Removes entries and floors whose time is over, up to a limit, and says whether there are more.
CREATE OR REPLACE FUNCTION {schema}.sweep(store bigint, at_most bigint, now bigint, by bigint, forget bigint, channel text)
RETURNS TABLE (expired bigint, forgotten bigint, more boolean) LANGUAGE plpgsql AS $$
DECLARE e record;
BEGIN
  expired := 0; forgotten := 0; more := false;
  -- Alone, as it takes many keys; it is short.
  PERFORM pg_advisory_xact_lock(store);
  FOR e IN SELECT * FROM {schema}.entries x WHERE x.ends <> 0 AND x.ends <= now ORDER BY x.ends LIMIT at_most + 1 LOOP
    IF expired >= at_most THEN more := true; EXIT; END IF;
    DELETE FROM {schema}.entries x WHERE x.head = e.head AND x.hash = e.hash;
    PERFORM {schema}.count(e.space, 0, -1, -e.size);
    INSERT INTO {schema}.tombs VALUES (e.head, e.hash, e.flat, e.version, forget)
      ON CONFLICT ON CONSTRAINT tombs_pkey DO UPDATE SET version = e.version, ends = forget;
    PERFORM pg_notify(channel, 'D' || e.version::text || ' ' ||
      CASE WHEN length(e.flat) < 5000 THEN encode(e.flat, 'base64') ELSE '' END);
    expired := expired + 1;
  END LOOP;
  FOR e IN SELECT * FROM {schema}.tombs x WHERE x.ends <= by ORDER BY x.ends LIMIT at_most - expired + 1 LOOP
    IF expired + forgotten >= at_most THEN more := true; EXIT; END IF;
    DELETE FROM {schema}.tombs x WHERE x.head = e.head AND x.hash = e.hash;
    forgotten := forgotten + 1;
  END LOOP;
  FOR e IN SELECT * FROM {schema}.floors x WHERE x.ends <= by ORDER BY x.ends LIMIT at_most - expired - forgotten + 1 LOOP
    IF expired + forgotten >= at_most THEN more := true; EXIT; END IF;
    DELETE FROM {schema}.floors x WHERE x.space = e.space;
    forgotten := forgotten + 1;
  END LOOP;
  RETURN NEXT;
END $$;

-- Leases. One that the holder knows to be its own is judged by the holder's clock, which says whether it has ended;
-- any other by the server's.
CREATE OR REPLACE FUNCTION {schema}.acquire(of bytea, me bytea, lasts interval, known bigint, ended boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE l record; drawn bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('{schema}.lease' || encode(of, 'hex'), 0));
  SELECT * INTO l FROM {schema}.leases x WHERE x.name = of;
  IF l.name IS NOT NULL AND NOT (CASE WHEN l.holder = me AND l.token = known THEN ended ELSE l.ends <= clock_timestamp() END) THEN
    RETURN NULL;
  END IF;
  drawn := nextval('{schema}.tokens');
  INSERT INTO {schema}.leases VALUES (of, drawn, me, clock_timestamp() + lasts)
    ON CONFLICT (name) DO UPDATE SET token = drawn, holder = me, ends = clock_timestamp() + lasts;
  RETURN drawn;
END $$;
