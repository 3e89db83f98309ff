"""Floor 4: responses and regret. Tables only, no torch."""
