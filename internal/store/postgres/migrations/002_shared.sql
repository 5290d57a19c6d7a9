-- What the nodes of one service share beside phones and messages. Every statement of
-- the release before still works on this schema. Names are bytea: they are compared
-- byte by byte whatever the collation, and nothing in them is special.

-- Kept: the ledger ------------------------------------------------------------

CREATE TABLE documents (
	name       bytea NOT NULL PRIMARY KEY,
	revision   bigint NOT NULL,
	updated_at bigint NOT NULL,
	body       bytea NOT NULL
) WITH (fillfactor = 50);

-- An event_id is a UUIDv7 and sorts by time. Events are few, and so in one piece.
CREATE TABLE events (
	event_id uuid NOT NULL PRIMARY KEY,
	at       bigint NOT NULL,
	client   bytea NOT NULL,
	kind     bytea NOT NULL,
	actor    bytea NOT NULL,
	data     bytea NOT NULL
);

CREATE INDEX events_client ON events (client, event_id);
CREATE INDEX events_kind ON events (kind, event_id);

-- What expires ----------------------------------------------------------------

-- Notes are few, and every node writes some again each second. No index has a column
-- that then changes, and pages have room for several versions of a row, so that each
-- is a HOT update. note_no is what the sweep goes by.
CREATE TABLE notes (
	note_no  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	topic    bytea NOT NULL,
	note_key bytea NOT NULL,
	at       bigint NOT NULL,
	ends_at  bigint NOT NULL,
	body     bytea NOT NULL,
	UNIQUE (topic, note_key)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
	toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_cost_delay = 0);

CREATE TABLE line_facts (
	phone     uuid NOT NULL PRIMARY KEY,
	line_type bytea NOT NULL,
	source    bytea NOT NULL,
	ends_at   bigint NOT NULL
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
