"""This machine as torch sees it: devices, threads, and which number formats are worth using."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

Rows = list[tuple[str, str]]  # what, and what there is to say of it
Off = list[str]  # sentences: what is off, and its mend

_WORTH = 0.9  # of fp32's time; what saves less is not worth another number format


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(seen or 1, quota() or sys.maxsize))


_GROUPS, _MINE = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def quota(groups: Path = _GROUPS, mine: Path = _MINE) -> int | None:
    """Return the cores of this process' quota, rounded up; None where there is none.

    Every control group from the root down to the process' own may set one, and the least counts.

    Args:
        groups: where control groups are mounted.
        mine: the process' own groups, "id:controllers:path" a line (man 7 cgroups).
    """
    found = [
        granted
        for home, files, path in _own(groups, mine)
        for at in (path, *path.parents)
        if (granted := _granted(home / at, files))
    ]
    return min(found, default=None)


def _own(groups: Path, mine: Path) -> Iterator[tuple[Path, Sequence[str], PurePosixPath]]:
    """Yield the mount, the files of the quota and the process' group of either version."""
    unified, legacy = ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    root = PurePosixPath()
    yield groups, unified, root
    yield groups / "cpu", legacy, root
    try:
        lines = mine.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = f"{line}::".split(":")[:3]
        path = PurePosixPath(own.lstrip("/"))
        if ".." in path.parts:  # above what this container sees
            continue
        if not controllers:
            yield groups, unified, path
            yield groups / "unified", unified, path
        elif "cpu" in controllers.split(","):
            yield groups / "cpu", legacy, path


def _granted(group: Path, files: Sequence[str]) -> int | None:
    try:
        granted, period = " ".join((group / name).read_text() for name in files).split()
    except (OSError, ValueError):
        return None
    return -(-int(granted) // int(period)) if granted.isdigit() else None


def devices(off: Off) -> Rows:
    """Return the processor and the devices that torch sees."""
    import torch

    rows = [("processor", f"{platform.machine()}, {cores()} of {os.cpu_count()} cores for us")]
    if not torch.cuda.is_available():
        rows.append(("CUDA", "none"))
        if shutil.which("nvidia-smi"):
            off.append(
                f"there is an NVIDIA driver, but torch {torch.__version__} sees no device: install "
                "a torch built for CUDA, or look at CUDA_VISIBLE_DEVICES"
            )
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        rows.append((f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"))
    return rows


def threads(environment: Mapping[str, str], off: Off) -> Rows:
    """Return how many threads torch uses and how they wait."""
    import torch

    used, may = torch.get_num_threads(), cores()
    if used > may:
        off.append(
            f"torch uses {used} threads on {may} cores, which then wait for each other: "
            f"export OMP_NUM_THREADS={may}, or torch.set_num_threads({may})"
        )
    policy = environment.get("OMP_WAIT_POLICY", "")
    if policy.strip().lower() == "active":
        off.append(
            f"OMP_WAIT_POLICY={policy} lets waiting threads spin, which can slow torch many times "
            "where processes share cores: export OMP_WAIT_POLICY=PASSIVE"
        )
    waits = "sleep" if policy.strip().lower() == "passive" else "spin, best on cores of their own"
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    return [
        ("torch", f"{used} within an operation, {torch.get_num_interop_threads()} between them"),
        ("while they wait", f"they {waits} (docs/threads.md)"),
        *((name, environment.get(name, "not set")) for name in names),
    ]


def formats() -> Rows:
    """Return what a step takes in each number format, and whether that is worth it."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    base = _step_s(device, None)
    rows = [("fp32", f"{1000 * base:.1f} ms a step of a small convolution on {device}")]
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        ratio = _step_s(device, dtype) / base
        worth = "worth running here" if ratio < _WORTH else "not worth running here"
        rows.append((name, f"{ratio:.2g} times fp32's time, {_how(name, device)}: {worth}"))
    if device == "cpu":
        rows.append(("", "on a CPU the benchmark runs fp32 only"))
    return rows


def _how(name: str, device: str) -> str:
    """Say whether a number format is computed in hardware."""
    import torch

    if device == "cuda":
        native = torch.cuda.get_device_capability() >= ((8, 0) if name == "bf16" else (7, 0))
    else:
        features = {
            "bf16": ("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
            "fp16": ("_is_amx_fp16_supported",),
        }
        native = any(getattr(torch.cpu, each, bool)() for each in features[name])
    if native:
        return "in hardware"
    return "without tensor cores" if device == "cuda" else "emulated on this CPU"


def _step_s(device: str, dtype: object) -> float:
    """Return the seconds of a forward and a backward pass: the best of five, after one."""
    import torch

    layer = torch.nn.Conv2d(32, 32, 3, padding=1, device=device)
    batch = torch.ones(8, 32, 48, 48, device=device)
    taken = []
    for _ in range(6):
        begun = time.perf_counter()
        with torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None):  # type: ignore[arg-type]
            loss = layer(batch).float().mean()
        loss.backward()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return min(taken[1:])
