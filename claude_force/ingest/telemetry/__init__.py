"""What telemetry reports about agents: the spool in which its signals wait, and how they are stored."""
