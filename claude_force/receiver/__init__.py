"""Receives OpenTelemetry data over HTTP (OTLP), and keeps what it says about agents in the spool of signals."""
