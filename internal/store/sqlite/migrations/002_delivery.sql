-- Messages leave the building: what was handed to which route, and what came
-- back. Every statement of the release before still works on this schema.

ALTER TABLE messages ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0;
-- check_at is when a sent or unknown message is due again if no receipt came.
ALTER TABLE messages ADD COLUMN check_at INTEGER;
-- leased_until is not 0 while a claim is open: its outcome is not recorded. It
-- is the end of that claim's lease.
ALTER TABLE messages ADD COLUMN leased_until INTEGER NOT NULL DEFAULT 0;

CREATE INDEX messages_check ON messages (check_at) WHERE check_at IS NOT NULL;

-- With error in it the index alone tells which messages wait for nothing but
-- their turn.
DROP INDEX messages_due;
CREATE INDEX messages_due ON messages (due_at, error) WHERE due_at IS NOT NULL;

-- What hangs on a message is keyed by its id, which sorts by time: new rows go
-- to pages that are in memory, and a message and its history are removed as one
-- range.
CREATE TABLE dispatches (
	message_id   BLOB NOT NULL,
	n            INTEGER NOT NULL,
	at           INTEGER NOT NULL,
	claim        INTEGER NOT NULL,
	route        TEXT NOT NULL,
	decision     TEXT NOT NULL,
	status       INTEGER NOT NULL,
	carrier_ref  TEXT NOT NULL,
	error        TEXT NOT NULL,
	segments     INTEGER NOT NULL,
	price_micros INTEGER NOT NULL,
	PRIMARY KEY (message_id, n)
) WITHOUT ROWID;

-- at makes the newest dispatch of a reference that a carrier uses again the last
-- of its range.
CREATE INDEX dispatches_ref ON dispatches (carrier_ref, route, at) WHERE carrier_ref <> '';

-- Receipts of a dispatch.
CREATE TABLE receipts (
	message_id  BLOB NOT NULL,
	n           INTEGER NOT NULL,
	status      INTEGER NOT NULL,
	error       TEXT NOT NULL,
	retry       INTEGER NOT NULL,
	opt_out     INTEGER NOT NULL,
	at          INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	PRIMARY KEY (message_id, n, status, error)
) WITHOUT ROWID;

-- Receipts that overtook the outcome of their dispatch, or never had one. Most
-- of the time there are none, so that every outcome may ask.
CREATE TABLE early_receipts (
	carrier_ref TEXT NOT NULL,
	route       TEXT NOT NULL,
	status      INTEGER NOT NULL,
	error       TEXT NOT NULL,
	retry       INTEGER NOT NULL,
	opt_out     INTEGER NOT NULL,
	at          INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	PRIMARY KEY (carrier_ref, route, status, error)
) WITHOUT ROWID;

-- A client's route became a choice of several; the setting "route" is gone.
UPDATE clients
SET settings = CAST(json_remove(CAST(settings AS TEXT), '$.route') AS BLOB), revision = revision + 1
WHERE CASE WHEN json_valid(CAST(settings AS TEXT))
	THEN json_type(CAST(settings AS TEXT), '$.route') IS NOT NULL
	ELSE FALSE END;
