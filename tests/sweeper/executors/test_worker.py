"""A worker's inbox, and what its driver hears."""

from __future__ import annotations

from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

from fastclip.checkpoints.base import Checkpoint
from fastclip.sweeper.executors.base import Event, Job, Note
from fastclip.sweeper.executors.worker import FromInbox, Inbox, Messages, Numbers


def job(number: int, architecture: str) -> Job:
    named: Any = SimpleNamespace(digest=architecture, name=architecture)
    return Job(number, named, Checkpoint(Path(f"{number}.pt"), "run", "torch", "1"))


def source_of(inbox: Inbox, architecture: str) -> FromInbox:
    return FromInbox(inbox, job(0, architecture).architecture, Numbers())


def names(checkpoints: Any) -> list[str]:
    return [checkpoint.path.stem for checkpoint in checkpoints]


def test_checkpoints_come_as_they_were_put_up_to_another_architecture() -> None:
    inbox = Inbox()
    for number, architecture in enumerate("aaba"):
        inbox.put(inbox.life, job(number, architecture))
    first, second = source_of(inbox, "a"), source_of(inbox, "b")
    assert names(first.arrived(wait=True)) == ["0", "1"]
    assert names(first.arrived(wait=True)) == []
    assert names(second.arrived(wait=False)) == ["2"]
    assert names(source_of(inbox, "a").arrived(wait=False)) == ["3"]


def test_nobody_waits_who_did_not_ask_to() -> None:
    inbox = Inbox()
    assert names(source_of(inbox, "a").arrived(wait=False)) == []
    Timer(0.1, inbox.put, (inbox.life, job(7, "a"))).start()
    assert names(source_of(inbox, "a").arrived(wait=True)) == ["7"]


def test_what_was_sent_to_the_process_before_is_forgotten() -> None:
    inbox = Inbox()
    inbox.put(Inbox().life, job(1, "a"))
    inbox.put(inbox.life, job(2, "a"))
    assert names(source_of(inbox, "a").arrived(wait=True)) == ["2"]


def test_a_note_is_told_once_to_log_and_driver(capsys: Any) -> None:
    told: list[Event] = []
    messages = Messages(told.append)
    for _ in range(2):
        messages.note("guessed, something")
    assert told == [Note("guessed, something")]
    assert capsys.readouterr().err == "guessed, something\n"
