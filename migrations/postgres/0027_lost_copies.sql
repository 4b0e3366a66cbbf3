-- A journal report that came back in a delivery report without the original is an alarm, too.
ALTER TABLE route_alarms DROP CONSTRAINT route_alarms_alarm_check;
ALTER TABLE route_alarms ADD CONSTRAINT route_alarms_alarm_check CHECK (alarm IN ('retired_address', 'too_large', 'not_authorised', 'unverified', 'silent', 'learning_ended', 'journal_lost'));
