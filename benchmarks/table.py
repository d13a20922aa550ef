"""What the benchmarks share: two loops timed in turn in one process, and rows to print and to keep as JSON."""

import argparse
import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path

import torch


def parser_of(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the rows there")
    return parser


def in_turn(loops: list, rounds: int, clock=time.process_time) -> list[float]:
    """Least seconds of each loop, called in turn so that a slow minute of the machine hits all of them alike.

    The least, as timeit has it: what is more than that was the machine's other work. Processor time by default; an
    accelerator needs time.perf_counter and loops that wait for it. The first round warms up.
    """
    times = [[] for _ in loops]
    for turn in range(rounds + 1):
        for loop, spent in zip(loops, times):
            start = clock()
            loop()
            if turn:
                spent.append(clock() - start)
    return [min(spent) for spent in times]


def row(name: str, ours: float, peer: float, unit: str, peer_name: str, **more) -> dict:
    """One line of a table, printed at once; a ratio above 1 means that ours is faster."""
    made = {
        "name": name,
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "ratio": round(peer / ours, 3),
        "unit": unit,
        "against": peer_name,
        **more,
    }
    extra = "".join(f"   {key.replace('_', ' ')} {value}" for key, value in more.items())
    print(f"{name:44s} ours {ours:9.3f}   {peer_name} {peer:9.3f} {unit}   ratio {peer / ours:5.2f}{extra}", flush=True)
    return made


def keep(rows: list[dict], options, **circumstances) -> None:
    """Write the rows and what they were measured on, if asked to."""
    if options.json:
        machine = {"torch": torch.__version__, "processor": processor(), "cores": os.cpu_count()}
        content = {**machine, **circumstances, "rows": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


def processor() -> str:
    """What the machine calls it, and which instructions for products it has."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    lines = dict(line.split(":", 1) for line in told.split("\n\n")[0].splitlines() if ":" in line)
    known = {name.strip(): value.strip() for name, value in lines.items()}
    has = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in known.get("flags", "").split()]
    return " ".join(["{model name}, family {cpu family}, model {model}:".format_map(defaultdict(str, known)), *has])
