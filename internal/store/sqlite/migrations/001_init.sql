-- Times are Unix microseconds, 0 for "never"; ids are 16-byte UUIDs.
-- Tables that are looked up by a random key are WITHOUT ROWID, so that a row is
-- one B-tree descent and one dirty page.

-- Kept: the ledger ------------------------------------------------------------

CREATE TABLE clients (
	client_no   INTEGER PRIMARY KEY,
	client_id   TEXT NOT NULL UNIQUE,
	name        TEXT NOT NULL,
	live        INTEGER NOT NULL,
	settings    BLOB NOT NULL,
	created_at  INTEGER NOT NULL,
	disabled_at INTEGER NOT NULL DEFAULT 0,
	revision    INTEGER NOT NULL
);

CREATE TABLE client_secrets (
	client_no    INTEGER NOT NULL REFERENCES clients (client_no),
	secret_id    TEXT NOT NULL,
	key_version  INTEGER NOT NULL,
	hash         BLOB NOT NULL,
	created_at   INTEGER NOT NULL,
	last_used_at INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (client_no, secret_id)
) WITHOUT ROWID;

CREATE TABLE signing_keys (
	key_no     INTEGER PRIMARY KEY AUTOINCREMENT,
	kid        TEXT NOT NULL UNIQUE,
	algorithm  TEXT NOT NULL,
	public     BLOB NOT NULL,
	sealed     BLOB NOT NULL,
	created_at INTEGER NOT NULL,
	active_at  INTEGER NOT NULL,
	retire_at  INTEGER NOT NULL DEFAULT 0
);

-- One row per client and number: what is known of the phone, the limits that
-- travel with it, and its live challenges, packed (challenges.go). Every send
-- and every attempt touches all three, and a row is one B-tree descent and one
-- dirty page; apart they would be two of each.
CREATE TABLE phones (
	phone_id         BLOB NOT NULL PRIMARY KEY,
	client_no        INTEGER NOT NULL,
	sealed           BLOB NOT NULL,
	created_at       INTEGER NOT NULL,
	opted_out_at     INTEGER NOT NULL DEFAULT 0,
	blocked_until    INTEGER NOT NULL DEFAULT 0,
	user_id          BLOB,
	verified_at      INTEGER NOT NULL DEFAULT 0,
	burst_tat        INTEGER NOT NULL DEFAULT 0,
	day_log          BLOB,
	failure_log      BLOB,
	last_message     BLOB,
	last_send_at     INTEGER NOT NULL DEFAULT 0,
	challenges       BLOB,
	challenges_until INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE users (
	user_id   BLOB NOT NULL PRIMARY KEY,
	client_no INTEGER NOT NULL,
	phone_id  BLOB NOT NULL
) WITHOUT ROWID;

-- The message log, which is also the queue: a message that is due has due_at.
-- previous chains the messages of one phone, newest first, so that no index on
-- a random key is written on every send.
CREATE TABLE messages (
	message_id   BLOB NOT NULL PRIMARY KEY,
	client_no    INTEGER NOT NULL,
	phone_id     BLOB NOT NULL,
	previous     BLOB,
	challenge_id BLOB NOT NULL,
	key_version  INTEGER NOT NULL,
	digits       INTEGER NOT NULL,
	status       INTEGER NOT NULL,
	claims       INTEGER NOT NULL DEFAULT 0,
	due_at       INTEGER,
	created_at   INTEGER NOT NULL,
	expires_at   INTEGER NOT NULL,
	updated_at   INTEGER NOT NULL DEFAULT 0,
	route        TEXT NOT NULL DEFAULT '',
	carrier_ref  TEXT NOT NULL DEFAULT '',
	error        TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE INDEX messages_due ON messages (due_at) WHERE due_at IS NOT NULL;

-- What expires ----------------------------------------------------------------

CREATE TABLE sessions (
	session_id BLOB NOT NULL PRIMARY KEY,
	client_no  INTEGER NOT NULL,
	user_id    BLOB NOT NULL,
	phone_id   BLOB NOT NULL,
	amr        TEXT NOT NULL,
	auth_time  INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	issuer     TEXT NOT NULL DEFAULT '',
	subject    TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE limits (
	limit_key BLOB NOT NULL PRIMARY KEY,
	tat       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE idempotency (
	idempotency_key BLOB NOT NULL PRIMARY KEY,
	body            BLOB NOT NULL,
	phone_id        BLOB NOT NULL,
	expires_at      INTEGER NOT NULL
) WITHOUT ROWID;

-- A refused attempt that changes nothing writes here instead, so that it is as
-- durable, and takes as long, as one that counts.
CREATE TABLE padding (
	id INTEGER PRIMARY KEY,
	n  INTEGER NOT NULL
);

INSERT INTO padding (id, n) VALUES (1, 0);
