"""A suite's range tests alone, as `suggest_lr` makes them, at several lengths."""

import msgspec

from lrsuggest.bench.jobs.job import GAINS, Job
from lrsuggest.bench.plan.plan import Plan, PlannedTask
from lrsuggest.errors import UserError
from lrsuggest.training.settings import FURTHEST

LENGTHS = 30, 50, 100  # optimizer steps from the first rate to the last
SEEDS = 5


def sweeps_only(plan: Plan) -> Plan:
    """Return a plan of the range tests of a plan's tasks, each of LENGTHS on SEEDS orders.

    They go on to higher rates where the loss has not blown up, and see each step's gain.

    Raises:
        UserError: no task has a range test.
    """
    tasks = tuple(
        msgspec.structs.replace(
            task, jobs=_sweeps(task), extra=(), refine=None, slices=(), chase=False, lesson="",
            named=(),
        )
        for task in plan.tasks
    )  # fmt: skip
    if not any(task.jobs for task in tasks):
        raise UserError(f"the suite {plan.suite} has no range test; run it without --only sweeps")
    return msgspec.structs.replace(plan, tasks=tasks, lessons=(), absent=())


def _sweeps(task: PlannedTask) -> tuple[Job, ...]:
    judged = next((job for job in task.jobs if job.kind == "sweep" and task.main(job)), None)
    if judged is None:
        return ()
    start, end = judged.rates
    return tuple(
        msgspec.structs.replace(
            judged, steps=steps, seed=seed, rates=(start, end, FURTHEST), protocol=GAINS
        )
        for steps in LENGTHS
        for seed in range(SEEDS)
    )
