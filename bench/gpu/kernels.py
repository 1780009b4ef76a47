"""The native kernels, CPU = GPU byte for byte; Numba correlations against scipy; their speed."""

from __future__ import annotations

import json
import subprocess
import sys

import common

SCRIPTS = ("bench/kernels.py", "bench/correlations.py")


def main() -> int:
    """Tests first, then the times of each script."""
    options = common.parser(__doc__).parse_args()
    report = common.Report(options.output, options.device)
    common.run_tests(report, "tests/kernels", "tests/distortions", "tests/statistics")
    for script in SCRIPTS:
        command = [sys.executable, script, "--device", options.device]
        command += ["--small"] if options.small else []
        done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            report.fail(f"{script}: {done.stderr.strip()[-500:]}")
        else:
            report.add("times", {"script": script, "found": json.loads(done.stdout)})
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
