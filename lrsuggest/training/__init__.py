"""Floor 2: a learner, its exact snapshot, the range test and the one-cycle run."""
