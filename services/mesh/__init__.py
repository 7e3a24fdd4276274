"""The chassis of every service: server, channels, interceptors, errors, settings, health, telemetry, database."""
