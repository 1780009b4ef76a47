"""Token ids and end-of-text positions, offline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest

from fastclip.errors import RefusalError, UsageError
from fastclip.towers import tokenizers
from fastclip.towers.base import Architecture
from fastclip.towers.identify import architecture_of
from fastclip.towers.tokenizers import end_of_text, load_tokenizer, token_ids, tokenizer_problem

PROMPTS = ["a photo of a dog.", "x", "an itap of " + "very " * 90 + "long"]


def test_simple_tokenizer_is_open_clips() -> None:
    architecture = architecture_of("ViT-B-32")
    ids, eot = token_ids(architecture, PROMPTS)
    np.testing.assert_array_equal(ids, open_clip.get_tokenizer("ViT-B-32")(PROMPTS).numpy())
    assert ids.dtype == np.int64 and eot.tolist() == [7, 2, 76]
    assert all(ids[row, end] == 49407 for row, end in enumerate(eot))
    assert load_tokenizer(architecture_of("coca_ViT-B-32"))(["x"]).shape == (1, 76)


def test_without_files_there_is_no_tokenizer(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    architecture = architecture_of("ViT-B-16-SigLIP")
    if architecture.tokenizer is not None:
        pytest.skip("the tokenizer's files are in this machine's cache")
    assert "timm/ViT-B-16-SigLIP" in str(tokenizer_problem(architecture))
    with pytest.raises(RefusalError, match="no tokenizer here") as refusal:
        token_ids(architecture, PROMPTS)
    assert "--tokenizer" in str(refusal.value)


def test_vocabulary_of_another_size_has_no_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    text = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 8, "vision_cfg": {}, "text_cfg": text}))
    architecture = architecture_of(str(path))
    assert architecture.tokenizer is None
    assert "100 entries" in str(tokenizer_problem(architecture))


def test_tokenizer_of_a_folder(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[PAD]": 0, "[UNK]": 1, "a": 2, "dog": 3}
    own = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=own, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(tmp_path)
    architecture = architecture_of("ViT-B-16-SigLIP", str(tmp_path))
    ids, eot = token_ids(architecture, ["a dog"])
    assert ids.shape == (1, 64) and ids[0, :3].tolist() == [2, 3, 0]
    assert eot.tolist() == [63]


def test_a_path_without_tokenizer_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UsageError) as refusal:
            architecture_of("ViT-B-32", str(path))
        assert "tokenizer.json" in str(refusal.value)


def test_end_of_text_follows_the_pooling() -> None:
    ids = np.array([[5, 9, 1, 0], [7, 1, 1, 9]])
    argmax = {"text_cfg": {}}
    assert end_of_text(argmax, ids).tolist() == [1, 3]
    eos = {"text_cfg": {"pool_type": "eos", "eos_id": 1}}
    assert end_of_text(eos, ids).tolist() == [2, 1]
    last = {"text_cfg": {"pool_type": "last"}}
    assert end_of_text(last, ids).tolist() == [3, 3]


def test_token_ids_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until prompts, context length or the tokenizer's own files are others."""
    asked: list[str] = []

    def fake(architecture: Architecture) -> Any:
        asked.append(architecture.name)
        length = architecture.config["text_cfg"].get("context_length", 77)
        return lambda prompts: np.arange(len(prompts) * length).reshape(len(prompts), length)

    files = tmp_path / "tokenizer"
    files.mkdir()
    (files / "tokenizer.json").write_text("{}")
    architecture = architecture_of("ViT-B-32", str(files))
    monkeypatch.setattr(tokenizers, "load_tokenizer", fake)
    first = token_ids(architecture, PROMPTS, tmp_path)
    second = token_ids(architecture, PROMPTS, tmp_path)
    assert len(asked) == 1
    for one, other in zip(first, second, strict=True):
        assert one.dtype == other.dtype == np.int64
        np.testing.assert_array_equal(one, other)
    token_ids(architecture, PROMPTS[::-1], tmp_path)
    shorter = {**architecture.config["text_cfg"], "context_length": 9}
    token_ids(
        replace(architecture, config={**architecture.config, "text_cfg": shorter}),
        PROMPTS,
        tmp_path,
    )
    (files / "tokenizer.json").write_text('{"version": 2}')
    token_ids(architecture, PROMPTS, tmp_path)
    assert len(asked) == 4
    for file in (tmp_path / "tokens").iterdir():
        file.write_bytes(b"cut short")
    np.testing.assert_array_equal(token_ids(architecture, PROMPTS, tmp_path)[0], first[0])
    assert len(asked) == 5
