"""Downloads from a loopback server: digests, unsafe archives, and nothing half-done."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastclip.errors import DataError, UsageError
from fastclip.stimuli import cifar100, cue_conflict, prepare

Server = Callable[[str, bytes], str]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...

    def send_header(self, keyword: str, value: str) -> None:
        promised = keyword == "Content-Length" and self.path.startswith("/short")
        super().send_header(keyword, "999999" if promised else value)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Server]:
    """`serve(name, data)` -> url of that file on a server of this process."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def add(name: str, data: bytes) -> str:
        (folder / name).write_bytes(data)
        return f"http://127.0.0.1:{server.server_port}/{name}"

    yield add
    server.shutdown()
    server.server_close()


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def cifar_archive(rows: int = 10000) -> bytes:
    test = {
        "data": np.zeros((rows, 3072), np.uint8),
        "fine_labels": [row % 100 for row in range(rows)],
    }
    meta = {"fine_label_names": [f"class_{n}" for n in range(100)]}
    return tar_of(
        {
            "cifar-100-python/test": pickle.dumps(test, protocol=2),
            "cifar-100-python/meta": pickle.dumps(meta, protocol=2),
        }
    )


def expect(monkeypatch: pytest.MonkeyPatch, name: str, data: bytes) -> None:
    """Let `data` be the published archive."""
    md5 = hashlib.md5(data).hexdigest()
    monkeypatch.setitem(prepare.ARCHIVES, name, replace(prepare.ARCHIVES[name], md5=md5))


def test_cifar100(tmp_path: Path, serve: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    data = cifar_archive()
    expect(monkeypatch, "cifar100", data)
    said: list[str] = []
    folder = prepare.prepare(
        "cifar100",
        tmp_path / "data",
        accept_licence=True,
        url=serve("cifar.tar.gz", data),
        say=said.append,
    )
    assert folder == tmp_path / "data" / "cifar-100-python"
    assert cifar100.load(tmp_path / "data", name="cifar100").complete
    assert names_in(tmp_path / "data") == ["cifar-100-python"]  # no archive, nothing temporary
    assert f"sha256 {hashlib.sha256(data).hexdigest()}" in said
    assert any(line.endswith("as published") for line in said)
    with pytest.raises(UsageError, match="there already"):
        prepare.prepare("cifar100", tmp_path / "data", accept_licence=True)


def test_cue_conflict_takes_only_the_stimuli(tmp_path: Path, serve: Server) -> None:
    png = io.BytesIO()
    Image.new("RGB", (2, 2)).save(png, "PNG")
    top = "texture-vs-shape-1b69c6a"
    files = {f"{top}/README.md": b"x", f"{top}/stimuli/filled/cat.png": b"x"}
    for shape in cue_conflict.CLASSES:
        for texture in cue_conflict.CLASSES:
            for n in range(5):
                name = f"{shape}/{shape}{n + 1}-{texture}1.png"
                files[f"{top}/stimuli/style-transfer-preprocessed-512/{name}"] = png.getvalue()
    said: list[str] = []
    folder = prepare.prepare(
        "cue-conflict",
        tmp_path,
        accept_licence=True,
        url=serve("cue.zip", zip_of(files)),
        say=said.append,
    )
    assert folder == tmp_path / "cue-conflict"
    assert cue_conflict.load(folder, name="cue-conflict").complete
    assert names_in(folder) == list(cue_conflict.CLASSES)
    assert any("no digest of this archive is published" in line for line in said)


def test_wrong_digest_and_incomplete_set_leave_nothing(
    tmp_path: Path, serve: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cifar_archive(rows=10)
    url = serve("cifar.tar.gz", data)
    with pytest.raises(DataError, match="not the published one: MD5"):
        prepare.prepare("cifar100", tmp_path / "data", accept_licence=True, url=url)
    expect(monkeypatch, "cifar100", data)
    with pytest.raises(DataError, match=r"not the published set: .* 10 of 10000 rows"):
        prepare.prepare("cifar100", tmp_path / "data", accept_licence=True, url=url)
    assert names_in(tmp_path / "data") == []


def test_download_failures(tmp_path: Path, serve: Server) -> None:
    url = serve("there", b"abc")
    with pytest.raises(DataError, match="HTTP Error 404"):
        prepare.download(url + "-not", tmp_path / "f")
    with pytest.raises(DataError, match="cut short: 3 of"):
        prepare.download(serve("short", b"abc"), tmp_path / "f")
    with pytest.raises(DataError, match="refused"):
        prepare.download("http://127.0.0.1:9/x", tmp_path / "f")
    with pytest.raises(UsageError, match="not an http"):
        prepare.download("file:///etc/passwd", tmp_path / "f")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil"])
def test_unsafe_zip(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.zip").write_bytes(zip_of({name: b"evil"}))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="unsafe"):
        prepare.unpack(tmp_path / "x.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_unsafe_and_damaged_tar(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(tar_of({"../evil": b"evil"}))
    with pytest.raises(DataError, match="unsafe"):
        prepare.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "evil").exists()
    whole = tar_of({"a": bytes(range(256)) * 4000})
    for data in (whole[: len(whole) // 2], b"no archive", b""):
        archive.write_bytes(data)
        with pytest.raises(DataError, match="damaged"):
            prepare.unpack(archive, tmp_path / "out")
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match="damaged"):
        prepare.unpack(tmp_path / "x.zip", tmp_path / "out")


def test_rar_needs_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is downloaded: the address here would refuse."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="RAR archive") as caught:
        prepare.prepare("tid2013", tmp_path, accept_licence=True, url="http://127.0.0.1:9/x")
    assert "bsdtar" in str(caught.value)


@pytest.mark.parametrize("tool", ["bsdtar", "unrar", "7z"])
def test_rar_programs_are_called_as_they_want(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """A stand-in notes its arguments, makes a file where it was told to, or fails."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script = programs / tool
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n: > {tmp_path}/out/file\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}")
    (tmp_path / "out").mkdir()
    prepare.unpack(tmp_path / "x.rar", tmp_path / "out")
    called = (tmp_path / "called").read_text().split()
    assert str(tmp_path / "x.rar") in called
    assert any(f"{tmp_path}/out" in word for word in called)
    script.write_text("#!/bin/sh\necho Unsupported block >&2\nexit 3\n")
    with pytest.raises(DataError, match=f"{tool} cannot unpack the archive: Unsupported block"):
        prepare.unpack(tmp_path / "x.rar", tmp_path / "out")


def test_licence_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"CC BY 4\.0"):
        prepare.prepare("cue-conflict", tmp_path, accept_licence=False)
    with pytest.raises(UsageError, match="cannot be fetched") as caught:
        prepare.licence_of("imagenet")
    assert "image-net.org" in str(caught.value)
    with pytest.raises(UsageError, match="cannot be fetched"):
        prepare.licence_of("csiq")
