"""A plan is loaded where it is as it was saved, by this user, for this use; else never."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastclip.engines.tensorrt.plan_cache import PlanCache
from fastclip.errors import EngineError

KEY = {"network": "ab12", "gpu": "G", "profile": [["ids", 4, -1], [8, 16, 77]]}
PLAN = bytes(range(256)) * 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PlanCache(tmp_path / "graphs" / "plans").save("plan", KEY, PLAN)
    return tmp_path / "graphs" / "plans"


def plan_in(folder: Path) -> Path:
    (plan,) = folder.glob("*.plan")
    return plan


def loaded(folder: Path) -> bytes | None:
    return PlanCache(folder).load("plan", KEY)


def test_a_plan_comes_back_as_it_was(folder: Path) -> None:
    assert loaded(folder) == PLAN


def test_nobody_else_can_read_it(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "other", [{"gpu": "H"}, {"network": "ab13"}, {"profile": [["ids", 4, -1], [8, 16, 64]]}]
)
def test_another_use_needs_another_plan(folder: Path, other: dict[str, object]) -> None:
    cache = PlanCache(folder)
    assert cache.load("plan", KEY | other) is None
    cache.save("plan", KEY | other, b"another")
    assert cache.load("plan", KEY) == PLAN


def test_kinds_do_not_meet(folder: Path) -> None:
    assert PlanCache(folder).load("timing", KEY) is None


def alter_a_byte(plan: Path) -> None:
    data = bytearray(plan.read_bytes())
    data[700] ^= 1
    plan.write_bytes(data)


def cut_it(plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1])


def let_others_write(plan: Path) -> None:
    plan.chmod(0o622)


def let_the_group_write_the_seal(plan: Path) -> None:
    plan.with_name(f"{plan.name}.json").chmod(0o620)


def lose_the_seal(plan: Path) -> None:
    plan.with_name(f"{plan.name}.json").unlink()


def break_the_seal(plan: Path) -> None:
    plan.with_name(f"{plan.name}.json").write_text("{")


def link_to_it(plan: Path) -> None:
    elsewhere = plan.parent.parent / "elsewhere"
    plan.rename(elsewhere)
    plan.symlink_to(elsewhere)


def bring_another_machines(plan: Path) -> None:
    """Plan and seal of another GPU, under this one's name: whole, and foreign."""
    foreign = KEY | {"gpu": "H"}
    cache = PlanCache(plan.parent)
    cache.save("plan", foreign, b"foreign")
    (theirs,) = (path for path in plan.parent.glob("*.plan") if path != plan)
    theirs.replace(plan)
    theirs.with_name(f"{theirs.name}.json").replace(plan.with_name(f"{plan.name}.json"))


@pytest.mark.parametrize(
    "harm",
    [
        alter_a_byte,
        cut_it,
        let_others_write,
        let_the_group_write_the_seal,
        lose_the_seal,
        break_the_seal,
        link_to_it,
        bring_another_machines,
    ],
)
def test_what_is_not_as_it_was_saved_is_not_loaded(
    folder: Path, harm: Callable[[Path], None]
) -> None:
    harm(plan_in(folder))
    assert loaded(folder) is None
    PlanCache(folder).save("plan", KEY, PLAN)
    assert loaded(folder) == PLAN


def test_a_seal_that_fits_other_bytes_does_not_help(folder: Path) -> None:
    """The digest is of key and bytes together, so neither can be exchanged."""
    plan = plan_in(folder)
    seal = plan.with_name(f"{plan.name}.json")
    value = json.loads(seal.read_text())
    PlanCache(folder).save("plan", KEY | {"gpu": "H"}, PLAN)
    (theirs,) = (p for p in folder.glob("*.plan.json") if p != seal)
    value["sha256"] = json.loads(theirs.read_text())["sha256"]
    seal.write_text(json.dumps(value))
    assert loaded(folder) is None


def test_a_folder_that_others_could_enter_is_emptied(folder: Path) -> None:
    folder.chmod(0o770)
    assert loaded(folder) is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(folder.iterdir())


def test_a_link_is_no_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(EngineError, match="a link or a file") as caught:
        PlanCache(tmp_path / "link")
    assert "FASTCLIP_CACHE" in str(caught.value)


def test_another_users_plan_is_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = PlanCache(folder)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.load("plan", KEY) is None
    with pytest.raises(EngineError, match="another user's"):
        PlanCache(folder)
