-- What a phone's limits have counted for callers with a bearer, and for those who are
-- known to be its owner (package intent); burst_tat, day_log and failure_log are for
-- all others. devices are those that verified the phone. Every statement of the
-- release before still works on this schema.

ALTER TABLE phones ADD COLUMN lanes bytea, ADD COLUMN devices bytea;
