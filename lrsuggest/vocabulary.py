"""The names that people and files use: optimizers, stages, schedules, number formats, tasks."""

from typing import Literal, get_args

Optimizer = Literal["adamw", "adam", "sgd"]
# What trains: the head of a held body; all after a frozen stage; all of a pretrained network from
# the start; all of an untrained one.
Stage = Literal["frozen", "unfrozen", "finetune", "scratch"]
# Of the rate. Those that tasks were recorded under; a fall in a line or a cosine is read as
# one-cycle, with a doubt.
RecordedSchedule = Literal["one_cycle", "constant"]
Schedule = Literal["one_cycle", "linear", "cosine", "constant"]
# fp32; or the forward pass under autocast in bf16 or fp16, the latter with a gradient scaler.
Precision = Literal["fp32", "bf16", "fp16"]
# What a task is.
Kind = Literal[
    "classification", "segmentation", "points", "regression", "language",
    # no task is made of these yet
    "multi-label", "detection", "translation", "generation",
]  # fmt: skip

OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
STAGES: tuple[Stage, ...] = get_args(Stage)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
RECORDED_SCHEDULES: tuple[RecordedSchedule, ...] = get_args(RecordedSchedule)
KINDS: tuple[Kind, ...] = get_args(Kind)
