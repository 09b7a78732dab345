"""The kit: unit of work, leases, database, events, errors, settings, clock, HTTP, crypto, logs. No product words."""
