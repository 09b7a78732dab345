"""When a broadcast is sent: at a moment, by a calendar, in windows, at each contact's best hour."""
