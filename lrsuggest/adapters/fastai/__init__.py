"""fastai's Learner, lent as one of ours."""
