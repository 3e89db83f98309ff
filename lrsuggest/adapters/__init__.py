"""Other frameworks' objects, each lent as a Learner and handed back as it was."""
