"""From a suite to the jobs it means, and those that follow from results."""
