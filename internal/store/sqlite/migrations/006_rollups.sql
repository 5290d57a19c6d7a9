-- What is counted of messages, by hour and day (docs/decisions/0024-roll-ups.md). Every
-- statement of the release before still works on this schema.

-- The number's area code, as whoever opened the number told it with the outcome.
ALTER TABLE messages ADD COLUMN area INTEGER NOT NULL DEFAULT 0;

-- What the operations of each commit have caused, until it is added up.
CREATE TABLE rollup_events (
	entry_no INTEGER PRIMARY KEY,
	events   BLOB NOT NULL
);

-- A body may take tens of kilobytes, so this is no table WITHOUT ROWID. hours is 1 or 24.
CREATE TABLE rollups (
	rollup_no INTEGER PRIMARY KEY,
	hours     INTEGER NOT NULL,
	start_at  INTEGER NOT NULL,
	client_no INTEGER NOT NULL,
	body      BLOB NOT NULL,
	UNIQUE (hours, start_at, client_no)
);
