"""Where executions come from: bytes to records."""
