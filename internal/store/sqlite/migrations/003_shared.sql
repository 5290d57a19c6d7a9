-- What the nodes of one service share beside phones and messages. Every statement of
-- the release before still works on this schema. Names are blobs: they are compared
-- byte by byte, and nothing in them is special.

-- Kept: the ledger ------------------------------------------------------------

-- A document may take megabytes, so this is no table WITHOUT ROWID, and the body comes
-- last: who only asks for the revision reads one page.
CREATE TABLE documents (
	name       BLOB NOT NULL PRIMARY KEY,
	revision   INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	body       BLOB NOT NULL
);

-- An event_id is a UUIDv7 and sorts by time.
CREATE TABLE events (
	event_id BLOB NOT NULL PRIMARY KEY,
	at       INTEGER NOT NULL,
	client   BLOB NOT NULL,
	kind     BLOB NOT NULL,
	actor    BLOB NOT NULL,
	data     BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX events_client ON events (client, event_id);
CREATE INDEX events_kind ON events (kind, event_id);

-- What expires ----------------------------------------------------------------

-- Bodies may be large here, too. A note that takes another's place keeps its number,
-- so that only its own row is written.
CREATE TABLE notes (
	note_no  INTEGER PRIMARY KEY,
	topic    BLOB NOT NULL,
	note_key BLOB NOT NULL,
	at       INTEGER NOT NULL,
	ends_at  INTEGER NOT NULL,
	body     BLOB NOT NULL,
	UNIQUE (topic, note_key)
);

CREATE TABLE line_facts (
	phone     BLOB NOT NULL PRIMARY KEY,
	line_type BLOB NOT NULL,
	source    BLOB NOT NULL,
	ends_at   INTEGER NOT NULL
) WITHOUT ROWID;
