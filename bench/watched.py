"""`fastclip` with its moments told: `python bench/watched.py sweep ...`, as a process of its own.

Prints lines "watched NAME VALUE" to stderr; times are seconds since BENCH_BEGAN, the parent's
monotonic clock when it started this process:

    first-batch     the first batch of a data set's pictures is encoded
    decided         BENCH_CHECKPOINTS checkpoints are known to be measured already
    decoded         pictures decoded until the end
    encoded         pictures of data sets encoded until the end

With BENCH_STOP naming one of the first two the process ends there. BENCH_WATCH lists what is
watched ("engines,decoding,progress"): each imports what it watches a little earlier than the
command would.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

BEGAN = float(os.environ.get("BENCH_BEGAN") or time.monotonic())
counts: Counter[str] = Counter()


def tell(name: str, value: float) -> None:
    """One line for the parent."""
    print(f"watched {name} {value:.4f}", file=sys.stderr, flush=True)


def tell_once(name: str) -> None:
    """When something happened first; ends the process where that was asked for."""
    if not counts[name]:
        tell(name, time.monotonic() - BEGAN)
        if os.environ.get("BENCH_STOP") == name:
            os._exit(0)
    counts[name] += 1


def watch_engines() -> None:
    """Tell the first batch of real pictures: of a set larger than any trial's or canary's."""
    from fastclip.engines.base import Engine

    sets: set[int] = set()

    def placed(place: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, pixels: Any) -> Any:
            handle = place(self, pixels)
            if len(pixels) > 64:
                sets.add(id(handle))
            return handle

        return wrapped

    def encoded(encode: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(self: Any, handle: Any, lo: int, hi: int) -> Any:
            found = encode(self, handle, lo, hi)
            if id(handle) in sets:
                counts["encoded"] += hi - lo
                if not counts["first-batch"]:
                    self.fetch(found)
                tell_once("first-batch")
            return found

        return wrapped

    def wrap(subclass: Any) -> None:
        for name, wrapper in (("place", placed), ("encode_images", encoded)):
            if name in vars(subclass):
                setattr(subclass, name, wrapper(vars(subclass)[name]))

    Engine.__init_subclass__ = classmethod(wrap)  # type: ignore[assignment]


def watch_decoding() -> None:
    """Count pictures that are decoded, from files and from arrays, and files that Pillow opens."""
    from fastclip.stimuli import decode, sources

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            counts["decoded"] += 1
            return function(*arguments)

        return wrapped

    decode.decode_rgb = counted(decode.decode_rgb)
    sources.ArrayPictures.decode = counted(sources.ArrayPictures.decode)  # type: ignore[method-assign]


def watch_progress() -> None:
    """Tell when enough checkpoints are known to be measured already."""
    from fastclip.sweeper.progress import Progress

    done = Progress.checkpoint_done
    expected = int(os.environ.get("BENCH_CHECKPOINTS") or 0)

    def wrapped(self: Any, name: str, *, cached: bool = False, **rest: Any) -> None:
        counts["cached"] += cached
        if expected and counts["cached"] == expected:
            tell_once("decided")
        done(self, name, cached=cached, **rest)

    Progress.checkpoint_done = wrapped  # type: ignore[method-assign]


def main() -> int:
    """Run the command line, then tell what was counted."""
    what = os.environ.get("BENCH_WATCH", "engines,decoding,progress").split(",")
    for name in what:
        globals()[f"watch_{name}"]()
    from fastclip.cli import main as command

    code: int | str | None = 0
    try:
        command()
    except SystemExit as stop:
        code = stop.code
    for name in ("decoded", "encoded", "cached"):
        tell(name, counts[name])
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    sys.exit(main())
