"""Floor 3: datasets, models and what joins them into learners."""
