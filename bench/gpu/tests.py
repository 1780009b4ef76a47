"""The tests of engines and checks that want a GPU."""

from __future__ import annotations

import sys

import common


def main() -> int:
    """One pytest; tried on a CPU, the checks' own tests alone."""
    options = common.parser(__doc__).parse_args()
    report = common.Report(options.output, options.device)
    rooms = ("tests/engines", "tests/parity", "tests/checkpoints")
    common.run_tests(report, *(rooms if options.device != "cpu" else ("tests/parity",)))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
