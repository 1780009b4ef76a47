"""The process of a local worker: `python -m fastclip.sweeper.executors.process CONNECTION`."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from multiprocessing.connection import Connection
from threading import Lock, Thread

from fastclip.errors import FastclipError
from fastclip.sweeper.executors.base import Event, Refused
from fastclip.sweeper.executors.worker import Inbox, Worker
from fastclip.sweeper.guards import refuse_full_disk, refuse_lost_device


def serve(connection: Connection) -> None:
    """Receive the sweep, then jobs; the process ends when the driver hangs up."""
    lock = Lock()

    def emit(event: Event) -> None:
        try:
            with lock:
                connection.send(event)
        except OSError:
            os._exit(0)  # as in `receive`

    config, settled, workers, cores = connection.recv()
    if cores:
        os.sched_setaffinity(0, cores)
    inbox = Inbox()
    print(f"process {os.getpid()} begins, {datetime.now():%Y-%m-%d %H:%M:%S}", file=sys.stderr)
    try:
        out = config.output_dir
        with refuse_full_disk(out), refuse_lost_device(out):
            worker = Worker(config, settled, workers, emit)
            Thread(target=receive, args=(connection, inbox), daemon=True).start()
            worker.run(inbox)
    except FastclipError as error:
        emit(Refused(error.what, error.where, error.mend))


def receive(connection: Connection, inbox: Inbox) -> None:
    """Jobs from the driver into the inbox; where it hangs up, nobody waits for what is in hand."""
    try:
        while True:
            life, job = connection.recv()
            inbox.put(life, job)
    except (EOFError, OSError):
        os._exit(0)  # what is finished is on record


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
