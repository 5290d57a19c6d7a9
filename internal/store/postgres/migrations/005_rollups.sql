-- What is counted of messages, by hour and day (docs/decisions/0024-roll-ups.md). Every
-- statement of the release before still works on this schema.

-- The number's area code, as whoever opened the number told it with the outcome.
ALTER TABLE messages ADD COLUMN area smallint NOT NULL DEFAULT 0;

-- What the operations of each transaction have caused, until it is added up.
CREATE TABLE rollup_events (
	entry_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	events   bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);

-- Bodies of the hour and the day under way are written anew every few seconds. hours is
-- 1 or 24.
CREATE TABLE rollups (
	rollup_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	hours     smallint NOT NULL,
	start_at  bigint NOT NULL,
	client_no bigint NOT NULL,
	body      bytea NOT NULL,
	UNIQUE (hours, start_at, client_no)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0,
	toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_cost_delay = 0);

-- They are dense as they are, so that to compress them is work for nothing.
ALTER TABLE rollups ALTER COLUMN body SET STORAGE EXTERNAL;
