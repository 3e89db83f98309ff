"""What is used of fastai beside what its documentation tells a user to call."""

from lrsuggest.training.restore.private import Private

FASTAI = Private(
    "fastai",
    "2.8.12",
    held=("_do_grad_opt", "cbs", "create_opt", "dls", "one_batch", "opt_func"),
)
