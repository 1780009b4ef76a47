"""The process of a local worker: `python -m fastclip.sweeper.executors.process CONNECTION`."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from threading import Lock, Thread

from fastclip.errors import FastclipError
from fastclip.sweeper.executors.base import Event, Refused
from fastclip.sweeper.executors.worker import Inbox, Worker
from fastclip.sweeper.guards import refuse_full_disk, refuse_lost_device


def serve(connection: Connection) -> None:
    """Receive the sweep, then jobs, until the driver hangs up."""
    lock = Lock()

    def emit(event: Event) -> None:
        try:
            with lock:
                connection.send(event)
        except OSError:
            os._exit(0)  # the driver is gone; what is finished is on record

    config, settled, workers, cores = connection.recv()
    if cores:
        os.sched_setaffinity(0, cores)
    inbox = Inbox()
    try:
        out = config.output_dir
        with refuse_full_disk(out), refuse_lost_device(out):
            worker = Worker(config, settled, workers, emit)
            Thread(target=receive, args=(connection, inbox), daemon=True).start()
            worker.run(inbox)
    except FastclipError as error:
        emit(Refused(error.what, error.where, error.mend))


def receive(connection: Connection, inbox: Inbox) -> None:
    """Jobs from the driver into the inbox; it hangs up where there are no more."""
    try:
        while True:
            life, job = connection.recv()
            inbox.put(life, job)
    except (EOFError, OSError):
        inbox.close()


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
