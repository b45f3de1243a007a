"""Where executions go: records to other programs' formats."""
