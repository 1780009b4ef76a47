"""Step, epoch and samples seen: only what a file or an option says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastclip.checkpoints.base import Checkpoint, Metadata
from fastclip.checkpoints.provenance import explain, training_place

# As open_clip 3.3 writes it: sorted, one option a line.
PARAMS = """accum_freq: 2
batch_size: 64
dataset_type: webdataset
epochs: 32
name: tiny
train_data: /data/{0000..0009}.tar
train_num_samples: 12345
world_size: 4
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    folder = tmp_path / "logs" / "tiny" / "checkpoints"
    folder.mkdir(parents=True)
    return Checkpoint(folder / "epoch_3.pt", "tiny", "torch", "stamp", epoch=3)


def write(checkpoint: Checkpoint, params: str) -> None:
    (checkpoint.path.parent.parent / "params.txt").write_text(params)


def test_the_file_wins_over_the_name(checkpoint: Checkpoint) -> None:
    assert training_place(checkpoint, Metadata()) == (None, 3, None)
    assert training_place(checkpoint, Metadata(step=70, epoch=4)) == (70, 4, None)
    said = explain(checkpoint, Metadata(epoch=4))
    assert said["epoch"].source == "the file (its name says 3)"
    assert said["samples_seen"].value is None


def test_samples_seen_in_order_of_trust(checkpoint: Checkpoint) -> None:
    given = 1000
    assert training_place(checkpoint, Metadata(), given).samples_seen == 3000
    write(checkpoint, PARAMS)
    assert training_place(checkpoint, Metadata(), given).samples_seen == 3 * 12345
    log = checkpoint.path.parent / "results.jsonl"
    lines = [{"epoch": 3, "num_samples": 50}, {"epoch": 3, "samples_seen": 37_000}]
    log.write_text(json.dumps(lines[0]) + "\n")
    # num_samples is how many the validation set has.
    assert training_place(checkpoint, Metadata(), given).samples_seen == 3 * 12345
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"epo')
    assert training_place(checkpoint, Metadata(), given).samples_seen == 37_000
    assert training_place(checkpoint, Metadata(step=70), given).samples_seen == 70 * 64 * 4 * 2
    assert training_place(checkpoint, Metadata(step=70, samples_seen=9), given).samples_seen == 9


@pytest.mark.parametrize(
    "params",
    [
        "train_num_samples: None\nbatch_size: 64\n",
        "dataset_type: csv\ntrain_num_samples: 500\n",
        "dataset_type: auto\ntrain_data: a.csv\ntrain_num_samples: 500\n",
        "not a list of options",
    ],
)
def test_nothing_is_guessed(params: str, checkpoint: Checkpoint) -> None:
    """No number, or one that open_clip itself does not obey for such data."""
    write(checkpoint, params)
    place = training_place(checkpoint, Metadata(step=70))
    assert place == (70, 3, None)
    assert "--samples-per-epoch" in explain(checkpoint, Metadata())["samples_seen"].source
