"""Hugging Face's Trainer, lent as a Learner."""
