"""What runs jobs: here, or wherever a cluster has room."""
