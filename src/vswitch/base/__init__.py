"""Clock, event counters, rate limits, tags, logging and the registry of runtime commands; no networking."""
