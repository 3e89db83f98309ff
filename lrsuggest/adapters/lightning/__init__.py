"""Lightning's trainer and module, lent as a Learner."""
