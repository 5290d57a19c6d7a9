-- Events on their way to endpoints (docs/decisions/0023-outgoing-webhooks.md). The
-- endpoints themselves are a document. Every statement of the release before still
-- works on this schema.

-- A body is kept once, however many endpoints get it. Until 7 days have passed it can
-- be sent again.
CREATE TABLE webhooks (
	event_id  uuid NOT NULL PRIMARY KEY,
	client    bytea NOT NULL,
	kind      bytea NOT NULL,
	queued_at bigint NOT NULL,
	body      bytea NOT NULL
);

-- due_at is NULL when nothing is to be done any more; a claim moves it to the end of
-- its lease. claims is the fence.
CREATE TABLE webhook_deliveries (
	event_id    uuid NOT NULL,
	endpoint_id uuid NOT NULL,
	state       smallint NOT NULL,
	claims      integer NOT NULL DEFAULT 0,
	attempts    integer NOT NULL DEFAULT 0,
	status      integer NOT NULL DEFAULT 0,
	error       bytea NOT NULL DEFAULT '',
	due_at      bigint,
	until       bigint NOT NULL,
	done_at     bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (endpoint_id, event_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_event ON webhook_deliveries (event_id);
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (endpoint_id, state, done_at);
