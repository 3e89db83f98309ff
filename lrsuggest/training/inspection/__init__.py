"""What a learner and its parts show of themselves before they are trained."""
