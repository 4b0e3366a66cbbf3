-- Questions of all tenants that nobody answered in time.
CREATE INDEX approvals_waiting ON approvals (expires_at) WHERE state = 'pending';
