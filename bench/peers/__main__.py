"""One loop as a program: `python -m peers LOOP REQUEST.json NUMBERS.json`."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from peers.common import Request

loop, request, numbers = sys.argv[1:]
found = import_module(f"peers.{loop}").measure(Request.read(Path(request)))
Path(numbers).write_text(json.dumps(found))
