"""Which architecture a checkpoint is of: told, written beside it, or seen in its tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastclip.checkpoints.anchors import PREFIX, published, published_tags
from fastclip.checkpoints.base import Checkpoint, CheckpointFile
from fastclip.checkpoints.headers import Header
from fastclip.errors import CheckpointError, UsageError
from fastclip.files import digest_of
from fastclip.towers import run_files
from fastclip.towers.base import Architecture
from fastclip.towers.configs import named_config
from fastclip.towers.match import check_fits, match_tensors
from fastclip.towers.preprocessing import resolve_preprocessing, unsaid
from fastclip.towers.run_files import Description
from fastclip.towers.tokenizers import find_tokenizer


def identify(
    file: CheckpointFile | Header,
    checkpoint: Checkpoint,
    model: str = "auto",
    tokenizer: str | None = None,
    cache_dir: Path | None = None,
) -> Architecture:
    """Find the architecture of a checkpoint; reads names and shapes, no values.

    An anchor (`openclip:NAME/TAG`) is what its tag says. Otherwise `model` decides; with "auto"
    first the run's own files near the checkpoint, then its tensor names and shapes against
    open_clip's configs.

    Args:
        file: the open checkpoint, or its header.
        checkpoint: where it lies.
        model: "auto", a name of open_clip's, or the path of a JSON config.
        tokenizer: `--tokenizer`, or None for the architecture's own.
        cache_dir: what open_clip was asked about architectures is kept there (`states_of`), and
            not asked again; None keeps nothing.

    Raises:
        UsageError: no such model, config or tokenizer.
        CheckpointError: the tensors are of another architecture (lists the first that differ),
            none is known for them, or several fit that differ in what weights do not show.
        EngineError: open_clip cannot build the architecture here.
    """
    found = _describe(file, checkpoint, model, cache_dir)
    where = str(checkpoint.path)
    check_fits(found.name, found.config, file.tensors, file.layout, where, cache_dir)
    return make_architecture(found, tokenizer)


def make_architecture(found: Description, tokenizer: str | None = None) -> Architecture:
    """Preprocessing, tokenizer and digest added to a description."""
    preprocessing = resolve_preprocessing(found.config, found.preprocess, found.where)
    pixels = preprocessing.pixels
    digest = digest_of(
        {
            "config": found.config,
            "pixels": [
                pixels.height,
                pixels.width,
                pixels.resize_mode,
                pixels.interpolation,
                pixels.fill,
            ],
            "mean": preprocessing.mean,
            "std": preprocessing.std,
        }
    )
    # A run's own options are complete; every other source may be silent on preprocessing.
    silent = () if found.source == "params.txt" else unsaid(found.preprocess)
    return Architecture(
        name=found.name,
        config=found.config,
        preprocessing=preprocessing,
        source=found.source,
        guessed=(*found.guessed, *silent),
        tokenizer=find_tokenizer(found.config, tokenizer),
        digest=digest,
    )


def architecture_of(model: str, tokenizer: str | None = None) -> Architecture:
    """The architecture of a name of open_clip's or of a JSON config, without any checkpoint.

    Raises:
        UsageError: no such name or file.
        CheckpointError: the file is not a model config.
    """
    return make_architecture(_told(model), tokenizer)


def _describe(
    file: CheckpointFile | Header, checkpoint: Checkpoint, model: str, cache_dir: Path | None
) -> Description:
    path = checkpoint.path
    if checkpoint.anchor is not None:
        return _anchor(checkpoint.anchor, cache_dir)
    params = run_files.find_params(path)
    if model != "auto":
        told = _told(model)
        if params is not None and str(params[1]["model"]).replace("/", "-") == told.name:
            said = run_files.from_params(*params, cache_dir)
            return replace(said, source="--model and params.txt")
        return told
    if params is not None:
        return run_files.from_params(*params, cache_dir)
    found = run_files.from_folder(path, file.layout)
    if found is not None:
        return found
    if file.layout == "huggingface":
        raise CheckpointError(
            "no config.json near this Hugging Face checkpoint",
            where=path,
            mend="put its config.json beside it, or give --model NAME",
        )
    beside = run_files.json_configs_beside(path)
    hint = f"a model config lies beside it: --model {beside[0]}; or " if beside else ""
    name, config, guessed = match_tensors(file.tensors, str(path), hint, cache_dir)
    return Description(name, config, {}, "tensor names and shapes", str(path), guessed)


def _told(model: str) -> Description:
    path = Path(model)
    if path.suffix == ".json" or path.is_dir():
        if path.is_dir():
            path = path / "open_clip_config.json"
        if not path.is_file():
            raise UsageError("no such model config", where=path, mend="check --model")
        return run_files.from_json(path, "--model")
    return Description(model.replace("/", "-"), named_config(model), {}, "--model", "--model")


def _anchor(anchor: str, cache_dir: Path | None) -> Description:
    """`openclip:NAME/TAG` by open_clip's table of published weights."""
    name, _, tag = anchor.removeprefix(PREFIX).rpartition("/")
    config = named_config(name)
    entry = published(name, tag, cache_dir)
    if not entry:
        tags = ", ".join(published_tags(name, cache_dir))
        raise UsageError(
            f"open_clip has no weights '{tag}' for {name}",
            where=anchor,
            mend=f"one of: {tags}" if tags else "open_clip publishes none for this name",
        )
    if entry.get("quick_gelu"):
        config["quick_gelu"] = True
    return Description(name, config, entry, "open_clip's table of published weights", anchor)
