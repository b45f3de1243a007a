"""`claude-force mcp`: Claude asks for its own metrics, by the Model Context Protocol."""
