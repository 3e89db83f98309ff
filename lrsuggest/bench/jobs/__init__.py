"""Jobs, the records of what came of them, and where these are kept."""
