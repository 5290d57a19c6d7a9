-- Events on their way to endpoints (docs/decisions/0023-outgoing-webhooks.md). The
-- endpoints themselves are a document. Every statement of the release before still
-- works on this schema.

-- A body is kept once, however many endpoints get it. Until 7 days have passed it can
-- be sent again.
CREATE TABLE webhooks (
	event_id  BLOB NOT NULL PRIMARY KEY,
	client    BLOB NOT NULL,
	kind      BLOB NOT NULL,
	queued_at INTEGER NOT NULL,
	body      BLOB NOT NULL
) WITHOUT ROWID;

-- due_at is NULL when nothing is to be done any more; a claim moves it to the end of
-- its lease. claims is the fence.
CREATE TABLE webhook_deliveries (
	event_id    BLOB NOT NULL,
	endpoint_id BLOB NOT NULL,
	state       INTEGER NOT NULL,
	claims      INTEGER NOT NULL DEFAULT 0,
	attempts    INTEGER NOT NULL DEFAULT 0,
	status      INTEGER NOT NULL DEFAULT 0,
	error       TEXT NOT NULL DEFAULT '',
	due_at      INTEGER,
	leased      INTEGER NOT NULL DEFAULT 0,
	until       INTEGER NOT NULL,
	done_at     INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (endpoint_id, event_id)
) WITHOUT ROWID;

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id);
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (endpoint_id, state, done_at);
