"""Questions beyond the ranking, each asked of the recorded tasks."""
