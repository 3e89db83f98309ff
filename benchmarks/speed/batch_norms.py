"""Why short runs dread high rates: camvid_tiny's first stage, its batch norms given time.

    python -m lrsuggest.bench run lessons --data DIR
    python benchmarks/speed/batch_norms.py [reports/lessons]

Twenty steps are few for the running statistics of batch norms (a tenth of the new at each step),
and after steps at high rates they are far from what the weights would give: validation suffers
where the training loss, which a range test sees, does not. Each recorded run is made once more,
evaluated as recorded, and again after 50 batches in train mode without a step.
"""

import sys
from itertools import islice
from pathlib import Path

import torch

from lrsuggest.bench.engines.work import begin, fit, halves
from lrsuggest.bench.jobs.job import Job, data_file
from lrsuggest.bench.plan.plan import load_plan

BATCHES = 50


def once_more(job: Job, prepared: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return what a run ends with, as recorded and with its batch norms given time."""
    learner = begin(job, prepared)
    learner.valid = None
    fit(job, learner)
    recorded = halves(learner, job, prepared)
    learner.model.train()
    with torch.no_grad():
        for inputs, _ in islice(learner.endless(), BATCHES):
            learner.model(inputs)
    return recorded, halves(learner, job, prepared)


def main(out: Path) -> None:
    """Print a row for each rate of the first stage, seed 0."""
    torch.set_num_threads(1)  # as when it was recorded
    task = next(each for each in load_plan(out).tasks if each.lesson == "camvid_tiny")
    print("| rate | loss | accuracy | loss, norms given time | accuracy, norms given time |")
    print("|---|---|---|---|---|")
    for job in task.grid:
        if job.seed == 0:
            prepared = out / "cache" / data_file(job.dataset, job.fingerprint, job.size)
            cells = [f"{end[k]:.3f}" for end in once_more(job, prepared)
                     for k in ("loss", "accuracy")]  # fmt: skip
            print(f"| {job.rates[0]:.0e} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "reports/lessons"))
