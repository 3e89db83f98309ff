"""Floor 6: suites of jobs, run and kept."""
