"""Peak memory of a sweep over full-size checkpoints against its budget.

    python bench/memory.py [ARCHITECTURE] [CHECKPOINTS]

Writes checkpoints with random weights in open_clip's own format, sweeps them over a small set in
a process of its own, and compares that process's peak resident memory with

    needed weights x 3 + resident pictures + 1.5 GiB

once with an empty cache (the graph is exported) and once more with the graph in the cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

CHILD = """
import json, resource, sys
import fastclip
run, out, data, cache, model = sys.argv[1:]
rows = fastclip.sweep(run, out, data=data, cache_dir=cache, model=model)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "failures": rows.attrs["failures"], "rows": len(rows)}))
"""


def main() -> int:
    """Measure, print and write `bench/results/memory.json`."""
    import numpy as np
    import open_clip
    import torch
    from make_sets import make_cifar100

    from fastclip.sweeper.environment import machine, versions

    name = sys.argv[1] if len(sys.argv) > 1 else "ViT-B-32"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures = 64
        cifar = make_cifar100(root / "cifar", n=pictures)
        (root / "run").mkdir()
        weights = 0
        for epoch in range(1, count + 1):
            torch.manual_seed(epoch)
            model = open_clip.create_model(name)
            state = model.state_dict()
            weights = sum(tensor.nbytes for tensor in state.values())
            saved = {"epoch": epoch, "state_dict": state, "lr": np.float64(1e-3)}
            torch.save(saved, root / "run" / f"epoch_{epoch}.pt")
        side = open_clip.get_model_preprocess_cfg(model)["size"]
        side = side if isinstance(side, int) else side[0]
        resident = 2 * pictures * side * side * 3
        budget = 3 * weights + resident + 1.5 * 2**30
        del model, state, saved
        result = {
            "architecture": name,
            "checkpoints": count,
            "weights_bytes": weights,
            "budget_bytes": int(budget),
            "machine": machine(),
            "versions": versions(),
        }
        for label in ("graph exported", "graph cached"):
            done = subprocess.run(
                [sys.executable, "-c", CHILD, str(root / "run"), str(root / f"out {label}"),
                 f"cifar100:toy-cifar={cifar}", str(root / "cache"), name],
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                print(done.stderr)
                return 1
            measured = json.loads(done.stdout.splitlines()[-1])
            assert not measured["failures"], measured
            result[label] = {"peak_bytes": measured["peak"], "share": measured["peak"] / budget}
            print(
                f"{name}, {label}: peak {measured['peak'] / 2**20:,.0f} MiB of "
                f"{budget / 2**20:,.0f} MiB allowed"
            )
    path = Path(__file__).parent / "results" / "memory.json"
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return 0 if all(result[k]["share"] <= 1 for k in ("graph exported", "graph cached")) else 1


if __name__ == "__main__":
    sys.exit(main())
