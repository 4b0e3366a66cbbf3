-- A mail provider that asks whether it may forward to a route is told to the operator.
ALTER TABLE route_alarms DROP CONSTRAINT route_alarms_alarm_check;
ALTER TABLE route_alarms ADD CONSTRAINT route_alarms_alarm_check CHECK (alarm IN ('retired_address', 'too_large', 'not_authorised', 'unverified', 'silent', 'learning_ended', 'journal_lost', 'forward_confirmation'));
