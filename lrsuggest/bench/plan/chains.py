"""Lessons: every stage's response from one checkpoint, and whole chains by either pilot's rates.

*Branch*: all contestants train from the weights that the hand-picked chain of seed 0 has at that
stage, with the same orders of the data. *Autopilot*: the whole lesson at suggested rates, found
anew at every stage, beside the whole lesson at hand-picked ones.
"""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.progress import Progress

from lrsuggest.bench.jobs.job import Job, data_file
from lrsuggest.bench.jobs.record import Record
from lrsuggest.bench.plan.plan import Chain, NamedRates, PlannedLesson, PlannedTask
from lrsuggest.bench.plan.prepare import prepare
from lrsuggest.bench.plan.suite import Suite
from lrsuggest.curves.curve import Curve
from lrsuggest.curves.heuristics.registry import Context
from lrsuggest.curves.suggestion import suggest
from lrsuggest.evidence.lessons import SUGGESTED
from lrsuggest.evidence.regret import HAND_PICKED
from lrsuggest.tasks.data.catalog import Dataset, dataset, fingerprint
from lrsuggest.tasks.lesson import Leg, Lesson, LessonStage
from lrsuggest.vocabulary import Precision

RULE = "frozen rate / 5, slice over 200"  # the teacher's, for what is unfrozen
FALLBACK = 3e-3  # where no rate can be suggested: what people pick
_SHARED = 1.1  # picks within 10 % share a run


def _seed(number: int, seed: int, *, sweep: bool = False) -> int:
    """Seed of a chain's stage: no two stages, nor a range test and its run, share a data order."""
    return 1000 * number + 500 * sweep + seed


def hand_picked(which: Dataset, stage: LessonStage) -> tuple[NamedRates, ...]:
    """Return what people chose for a stage, the one to compare with first."""
    picks = which.stages[stage.course - 1].hand_picked
    return tuple(
        NamedRates(
            HAND_PICKED if index == 0 else f"{HAND_PICKED} {index + 1}",
            pick.lr if isinstance(pick.lr, tuple) else (pick.lr,),
            pick.where,
        )
        for index, pick in enumerate(picks)
    )


def suggested(curves: Sequence[Curve], context: Context) -> NamedRates:
    """Return the suggestion's rates, the geometric mean over range tests."""
    made = [suggest(curve, context, fallback=FALLBACK) for curve in curves]
    none = sum(each.lr is None for each in made)
    where = f"abstained in {none} of {len(made)}, so {FALLBACK:g} there" if none else ""
    top = float(f"{np.exp(np.mean(np.log([float(each) for each in made]))):.3g}")
    spread = made[0].slice
    if spread.start is None:
        return NamedRates(SUGGESTED, (top,), where)
    low = float(f"{top * spread.start / spread.stop:.3g}")
    return NamedRates(SUGGESTED, (low, top), where)


def _rule(lesson: PlannedLesson, number: int) -> tuple[NamedRates, ...]:
    """The teacher's rule for an unfrozen stage: a fifth of the frozen rate, down to 1/200 of it."""
    if lesson.stages[number - 1].stage != "unfrozen":
        return ()
    top = lesson.hand_picked[number - 2].rates[-1] / 5
    return (NamedRates(RULE, (top / 200, top), "fast.ai course v3, lesson 3"),)


def _common(
    lesson: PlannedLesson, number: int, legs: tuple[Leg, ...], precision: Precision = "fp32"
) -> dict[str, Any]:
    """What all jobs of a stage (1 is the first) have in common, in a chain's number format."""
    stage = lesson.stages[number - 1]
    return {
        "dataset": lesson.dataset.name, "fingerprint": lesson.fingerprint,
        "model": lesson.dataset.model, "optimizer": lesson.dataset.optimizer,
        "stage": stage.stage, "size": stage.size, "batch": stage.batch, "before": legs or None,
        "weight_decay": stage.weight_decay, "device": lesson.device,
        "precision": stage.precision if precision == "fp32" else precision,
    }  # fmt: skip


def plan_lesson(
    lesson: Lesson,
    suite: Suite,
    folder: Path | None,
    cache: Path,
    device: str,
    progress: Progress,
) -> tuple[list[PlannedTask], PlannedLesson]:
    """Prepare a lesson's data at every size and list what is to be run.

    Raises:
        UserError: the data are damaged.
    """
    base = dataset(lesson.dataset)
    which = msgspec.structs.replace(
        base, model=lesson.model or base.model, optimizer=lesson.optimizer or base.optimizer
    )
    print_of = fingerprint(folder, cache)
    steps, paths = [], []
    for stage in lesson.stage:
        paths.append(cache / data_file(which.name, print_of, stage.size))
        examples = int((~prepare(which, folder, stage.size, paths[-1], progress).valid).sum())
        steps.append(max(1, examples // min(stage.batch, examples)) * stage.epochs)
    test = ""
    if lesson.test:
        test = data_file(which.name, print_of, lesson.stage[-1].size, "test")
        prepare(which, folder, lesson.stage[-1].size, cache / test, progress, "test")
    # Half precision is emulated on a CPU, many times slower than fp32: toys only (tests).
    on_cpu = device == "cpu"
    worth = [p for p in lesson.precisions if p == "fp32" or not on_cpu]
    stages = tuple(
        msgspec.structs.replace(stage, precision="fp32") if on_cpu else stage
        for stage in lesson.stage
    )
    skipped: list[str] = [p for p in lesson.precisions if p not in worth]
    skipped += [
        f"{asked.precision} in stage {number}, run in {stage.precision}"
        for number, (asked, stage) in enumerate(zip(lesson.stage, stages, strict=True), 1)
        if asked != stage
    ]
    chains = [
        *(Chain("hand-picked", seed) for seed in range(lesson.chain_seeds)),
        *(Chain("suggested", seed, p) for p in worth for seed in range(lesson.chain_seeds)),
    ]
    planned = PlannedLesson(
        name=lesson.label,
        dataset=which,
        fingerprint=print_of,
        stages=stages,
        steps=tuple(steps),
        hand_picked=tuple(hand_picked(which, stage)[0] for stage in lesson.stage),
        chains=tuple(chains),
        sweep=suite.sweep,
        schedule=lesson.schedule,
        device=device,
        margin=0.005 if lesson.margin is None else lesson.margin,
        test=test,
        skipped=tuple(skipped),
    )
    tasks, legs = [], tuple[Leg, ...]()
    for number, stage in enumerate(lesson.stage if lesson.seeds else (), 1):
        rates = sorted(stage.rates or lesson.rates or suite.rates.get(which.optimizer, ()))
        common = _common(planned, number, legs)
        sweeps = [
            Job(kind="sweep", steps=suite.sweep.steps, seed=seed,
                rates=(suite.sweep.start, suite.sweep.end), **common)
            for seed in range(suite.sweep.seeds)
        ]  # fmt: skip
        runs = [
            Job(kind="run", steps=steps[number - 1], seed=seed, rates=(rate,),
                schedule=lesson.schedule, **common)
            for rate, seed in product(rates, range(lesson.seeds))
        ]  # fmt: skip
        by = "x".join(map(str, stage.size))
        words = [f"{planned.name} {number}:", *([by] if by else []), stage.stage]
        tasks.append(
            PlannedTask(
                label=" ".join(words),
                dataset=which,
                stage=stage.stage,
                size=stage.size,
                batch=stage.batch,
                steps=steps[number - 1],
                jobs=(*sweeps, *runs),
                prepared=str(paths[number - 1]),
                sweep=suite.sweep,
                schedule=lesson.schedule,
                chase=suite.chase,
                lesson=planned.name,
                named=hand_picked(which, stage) + _rule(planned, number),
            )
        )
        legs += (_run(planned, Chain("hand-picked", 0), number, legs).leg,)
    return tasks, planned


def all_named(task: PlannedTask, curves: Sequence[Curve]) -> tuple[NamedRates, ...]:
    """Return the contestants with runs of their own, ours read from the stage's range tests."""
    if not curves:
        return task.named
    context = Context(task.dataset.optimizer, task.stage, task.steps, task.batch, task.schedule)
    return (*task.named, suggested(curves, context))


def chain_file(lesson: PlannedLesson, job: Job) -> str:
    """Return the name of the prepared file that a chain's job works on."""
    if job.kind == "test":
        return lesson.test
    return data_file(job.dataset, job.fingerprint, job.size)


def named_runs(task: PlannedTask, named: Sequence[NamedRates]) -> tuple[Job, ...]:
    """Return the runs at contestants' own rates; one within 10 % of another rate shares its runs.

    A slice never shares: its low end matters too.
    """
    grid = task.grid
    measured = sorted({job.rates[0] for job in grid})
    wanted: list[tuple[float, ...]] = []
    for each in named:
        if len(each.rates) == 1:
            if nearest(each.rates[0], measured) is not None:
                continue
            measured.append(each.rates[0])
        if each.rates not in wanted:
            wanted.append(each.rates)
    seeds = sorted({job.seed for job in grid})
    return tuple(
        msgspec.structs.replace(grid[0], rates=rates, seed=seed)
        for rates, seed in product(wanted, seeds)
    )


def nearest(rate: float, measured: Sequence[float]) -> float | None:
    """Return the measured rate nearest to a rate, None if none is within 10 %."""
    best = min(measured, key=lambda each: abs(np.log(each / rate)), default=None)
    near = best is not None and 1 / _SHARED <= best / rate <= _SHARED
    return best if near else None


def _run(lesson: PlannedLesson, chain: Chain, number: int, legs: tuple[Leg, ...],
         rates: tuple[float, ...] | None = None) -> Job:  # fmt: skip
    """A chain's training run at a stage, at the hand-picked rate unless another is given."""
    return Job(
        kind="run", steps=lesson.steps[number - 1], seed=_seed(number, chain.seed),
        rates=rates or lesson.hand_picked[number - 1].rates, schedule=lesson.schedule,
        looks=lesson.stages[number - 1].epochs, **_common(lesson, number, legs, chain.precision),
    )  # fmt: skip


def walk(
    lesson: PlannedLesson, chain: Chain, find: Callable[[Job], Record | None]
) -> list[tuple[Job, Record | None]]:
    """Return a chain's jobs in order, with their records, as far as the records tell them.

    The last one may have no record yet: it is what to run next. A run that diverged or failed ends
    the chain.
    """
    found: list[tuple[Job, Record | None]] = []
    legs = tuple[Leg, ...]()
    start, end = lesson.sweep.start, lesson.sweep.end
    for number, stage in enumerate(lesson.stages, 1):
        rates = None
        if chain.pilot == "suggested":
            sweep = Job(
                kind="sweep", steps=lesson.sweep.steps,
                seed=_seed(number, chain.seed, sweep=True), rates=(start, end),
                **_common(lesson, number, legs, chain.precision),
            )  # fmt: skip
            found.append((sweep, record := find(sweep)))
            if record is None or record.result.curve is None:
                return found
            context = Context(
                lesson.dataset.optimizer, stage.stage, lesson.steps[number - 1], stage.batch,
                lesson.schedule,
            )  # fmt: skip
            rates = suggested([record.result.curve.curve()], context).rates
        run = _run(lesson, chain, number, legs, rates)
        found.append((run, record := find(run)))
        if record is None or record.status != "ok":
            return found
        legs += (run.leg,)
    if lesson.test:
        common = _common(lesson, len(lesson.stages), legs, chain.precision)
        look = Job(kind="test", steps=0, seed=0, rates=(), **common)
        found.append((look, find(look)))
    return found
