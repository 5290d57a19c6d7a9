-- Times are Unix microseconds, 0 for "never"; ids are UUIDs (RFC 9562). A
-- phone_id is the blind index of a number within a client, so it names client and
-- phone at once; the two hot intents have it, or a key derived from one send or
-- session, in every key, so that the tables can be sharded by it.
--
-- Tables that change in place keep room in their pages for it (fillfactor), so
-- that a new version of a row stays on its page and touches no index (HOT).

-- Kept: the ledger ------------------------------------------------------------

CREATE TABLE clients (
	client_no   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	client_id   text NOT NULL UNIQUE,
	name        text NOT NULL,
	live        boolean NOT NULL,
	settings    bytea NOT NULL,
	created_at  bigint NOT NULL,
	disabled_at bigint NOT NULL DEFAULT 0,
	revision    bigint NOT NULL
);

CREATE TABLE client_secrets (
	client_no    bigint NOT NULL REFERENCES clients (client_no),
	secret_id    text NOT NULL,
	key_version  bigint NOT NULL,
	hash         bytea NOT NULL,
	created_at   bigint NOT NULL,
	last_used_at bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (client_no, secret_id)
);

CREATE TABLE signing_keys (
	key_no     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kid        text NOT NULL UNIQUE,
	algorithm  text NOT NULL,
	public     bytea NOT NULL,
	sealed     bytea NOT NULL,
	created_at bigint NOT NULL,
	active_at  bigint NOT NULL,
	retire_at  bigint NOT NULL DEFAULT 0
);

-- One row per client and number: what is known of the phone, the limits that
-- travel with it, and its live challenges, packed (package intent). No index but
-- the key: every send and attempt is a HOT update of one row.
CREATE TABLE phones (
	phone_id         uuid NOT NULL PRIMARY KEY,
	client_no        bigint NOT NULL,
	sealed           bytea NOT NULL,
	created_at       bigint NOT NULL,
	opted_out_at     bigint NOT NULL DEFAULT 0,
	blocked_until    bigint NOT NULL DEFAULT 0,
	user_id          uuid,
	verified_at      bigint NOT NULL DEFAULT 0,
	burst_tat        bigint NOT NULL DEFAULT 0,
	day_log          bytea,
	failure_log      bytea,
	last_message     uuid,
	last_send_at     bigint NOT NULL DEFAULT 0,
	challenges       bytea,
	challenges_until bigint NOT NULL DEFAULT 0
) PARTITION BY HASH (phone_id);

CREATE TABLE users (
	user_id   uuid NOT NULL PRIMARY KEY,
	client_no bigint NOT NULL,
	phone_id  uuid NOT NULL
);

-- The message log, which is also the queue: a message that is due has due_at. A
-- message_id is a UUIDv7 and sorts by time, so the log and what hangs on it are
-- partitioned by it, and dropped by partition. previous chains the messages of one
-- phone, newest first, so that no index on a random key is written on every send.
CREATE TABLE messages (
	message_id   uuid NOT NULL PRIMARY KEY,
	client_no    bigint NOT NULL,
	phone_id     uuid NOT NULL,
	previous     uuid,
	challenge_id uuid NOT NULL,
	key_version  bigint NOT NULL,
	digits       smallint NOT NULL,
	status       smallint NOT NULL,
	claims       integer NOT NULL DEFAULT 0,
	-- due_at is when a queued message is due.
	due_at       bigint,
	-- check_at is when a sent or unknown message is due again if no receipt came.
	check_at     bigint,
	-- leased_until is not 0 while a claim is open: its outcome is not recorded. It
	-- is the end of that claim's lease.
	leased_until bigint NOT NULL DEFAULT 0,
	created_at   bigint NOT NULL,
	expires_at   bigint NOT NULL,
	updated_at   bigint NOT NULL DEFAULT 0,
	verified_at  bigint NOT NULL DEFAULT 0,
	route        text NOT NULL DEFAULT '',
	carrier_ref  text NOT NULL DEFAULT '',
	error        text NOT NULL DEFAULT '',
	locale       text NOT NULL DEFAULT ''
) PARTITION BY RANGE (message_id);

-- With the id, so that a claim finds those due at one time in order.
CREATE INDEX messages_due ON messages (due_at, message_id) WHERE due_at IS NOT NULL;
CREATE INDEX messages_check ON messages (check_at, message_id) WHERE check_at IS NOT NULL;

CREATE TABLE dispatches (
	message_id   uuid NOT NULL,
	n            integer NOT NULL,
	at           bigint NOT NULL,
	claim        integer NOT NULL,
	route        text NOT NULL,
	decision     text NOT NULL,
	status       smallint NOT NULL,
	carrier_ref  text NOT NULL,
	error        text NOT NULL,
	segments     integer NOT NULL,
	price_micros bigint NOT NULL,
	PRIMARY KEY (message_id, n)
) PARTITION BY RANGE (message_id);

CREATE INDEX dispatches_ref ON dispatches (carrier_ref, route, at) WHERE carrier_ref <> '';

-- Receipts of a dispatch.
CREATE TABLE receipts (
	message_id  uuid NOT NULL,
	n           integer NOT NULL,
	status      smallint NOT NULL,
	error       text NOT NULL,
	retry       boolean NOT NULL,
	opt_out     boolean NOT NULL,
	at          bigint NOT NULL,
	received_at bigint NOT NULL,
	PRIMARY KEY (message_id, n, status, error)
) PARTITION BY RANGE (message_id);

-- Ids that no partition is made for (upkeep makes them ahead of time) land here, so
-- that a message is never refused for it.
CREATE TABLE messages_rest PARTITION OF messages DEFAULT;
CREATE TABLE dispatches_rest PARTITION OF dispatches DEFAULT;
CREATE TABLE receipts_rest PARTITION OF receipts DEFAULT;

-- Receipts that overtook the outcome of their dispatch, or never had one.
CREATE TABLE early_receipts (
	carrier_ref text NOT NULL,
	route       text NOT NULL,
	status      smallint NOT NULL,
	error       text NOT NULL,
	retry       boolean NOT NULL,
	opt_out     boolean NOT NULL,
	at          bigint NOT NULL,
	received_at bigint NOT NULL,
	PRIMARY KEY (carrier_ref, route, status, error)
);

-- What expires ----------------------------------------------------------------

CREATE TABLE sessions (
	session_id uuid NOT NULL PRIMARY KEY,
	client_no  bigint NOT NULL,
	user_id    uuid NOT NULL,
	phone_id   uuid NOT NULL,
	amr        text NOT NULL,
	auth_time  bigint NOT NULL,
	created_at bigint NOT NULL,
	expires_at bigint NOT NULL,
	issuer     bytea NOT NULL DEFAULT '',
	subject    bytea NOT NULL DEFAULT ''
) PARTITION BY HASH (session_id);

CREATE TABLE limits (
	limit_key bytea NOT NULL PRIMARY KEY,
	tat       bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE idempotency (
	idempotency_key bytea NOT NULL PRIMARY KEY,
	body            bytea NOT NULL,
	phone_id        uuid NOT NULL,
	expires_at      bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- A group of attempts that changes nothing writes here instead, a row for each
-- committer, so that it is as durable, and takes as long, as one that counts.
CREATE TABLE padding (
	committer uuid NOT NULL PRIMARY KEY,
	n         bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

-- Eight parts of the tables that change most are vacuumed apart, and a few per
-- cent of dead rows are enough to begin.
DO $$
BEGIN
	FOR i IN 0..7 LOOP
		EXECUTE format('CREATE TABLE phones_%s PARTITION OF phones FOR VALUES WITH (MODULUS 8, REMAINDER %s)
			WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)', i, i);
		EXECUTE format('CREATE TABLE sessions_%s PARTITION OF sessions FOR VALUES WITH (MODULUS 8, REMAINDER %s)
			WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)', i, i);
	END LOOP;
END
$$;
