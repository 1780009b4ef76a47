"""`fastclip sweep`: parsing and printing only."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fastclip.checkpoints.selection import parse_range
from fastclip.cli.execution import execution_options
from fastclip.errors import UsageError

if TYPE_CHECKING:
    from fastclip.sweeper.config import SweepConfig

Range = tuple[int | None, int | None]


class RangeType(click.ParamType):  # type: ignore[type-arg]
    """`A:B`, inclusive; either side may be empty."""

    name = "A:B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Range:
        return value if isinstance(value, tuple) else parse_range(str(value))


class NamesType(click.ParamType):  # type: ignore[type-arg]
    """Comma-separated names."""

    name = "A,B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, list | tuple):
            return tuple(value)
        return tuple(name.strip() for name in str(value).split(",") if name.strip())


def read_config_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Take defaults from a TOML file (`[sweep]` table or top level); the command line wins."""
    if value is None:
        return None
    try:
        body = tomllib.loads(value.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the config file: {error}", where=value) from error
    body = body.get("sweep", body)
    known = {p.name: p for p in ctx.command.params}
    defaults = {}
    for key, item in body.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(
                f"unknown option '{key}' in the config file",
                where=value,
                mend=f"options are: {', '.join(sorted(k for k in known if k))}",
            )
        lists = getattr(known[name], "multiple", False) or isinstance(known[name].type, NamesType)
        if isinstance(item, list) and not lists:
            item = ",".join(map(str, item))
        elif isinstance(item, str) and getattr(known[name], "multiple", False):
            item = [item]
        defaults[name] = item
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return value


@click.command(name="sweep")
@click.argument("checkpoints", nargs=-1, required=False, metavar="CKPTS...")
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("sweep-out"),
    show_default=True,
    help="Where records and tables go; run again to resume.",
)
@click.option(
    "-m",
    "--model",
    default="auto",
    show_default=True,
    help="open_clip name, or a JSON config; auto tells it from the run or the weights.",
)
@click.option(
    "-t",
    "--tasks",
    type=NamesType(),
    default="",
    help="iqa, shape-bias, robustness, embedding-diagnostics; all that have data.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds data sets.")
@click.option(
    "--data",
    multiple=True,
    metavar="[KIND:]NAME=PATH",
    help="One data set, e.g. tid2013=/sets/tid or iqa:mine=scores.csv. Repeatable.",
)
@click.option(
    "--higher-is-better/--lower-is-better",
    "higher_is_better",
    default=None,
    help="Polarity of an iqa: table's score.",
)
@click.option("--partial", is_flag=True, help="Allow incomplete sets; rows say so.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="First N pictures of each set; for tests."
)
@click.option("--skip-bad-pictures", is_flag=True, help="Leave corrupt pictures out, counted.")
@click.option(
    "--iqa-view",
    type=click.Choice(["auto", "crop", "squash"]),
    default="auto",
    show_default=True,
    help="How image-quality pictures are fitted; auto is the checkpoint's own way.",
)
@click.option(
    "--sigma",
    help="Gaussian noise levels on [0, 1]: numbers, cifar-c, imagenet-c.  "
    "[default: 0.1, without --distortion]",
)
@click.option(
    "--distortion",
    multiple=True,
    metavar="KIND:LEVEL,...",
    help="Other distortions, e.g. gaussian_blur:imagenet-c=3,contrast:factor=0.4. Repeatable.",
)
@click.option(
    "--noise-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed is another draw of the noise.",
)
@click.option(
    "--noise-seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Repeat the noise N times.",
)
@click.option(
    "--noise-at",
    type=click.Choice(["auto", "native", "input"]),
    default="auto",
    show_default=True,
    help="Distort before resizing, or after; auto is the set's custom.",
)
@click.option(
    "--class-names",
    type=click.Choice(["auto", "openai", "dataset"]),
    default="auto",
    show_default=True,
    help="OpenAI's wording (auto's first choice), or the data set's own.",
)
@click.option(
    "--engine",
    default="auto",
    show_default=True,
    help="`fastclip ls engines`; auto tries them and takes the fastest that is right.",
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="fp32, fp16; bf16 and int8 for screening; auto is fp32 on a CPU, fp16 on CUDA.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("-b", "--batch-size", default="auto", show_default=True, metavar="N|auto")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads; 0 for every core.",
)
@execution_options
@click.option("--run", help="Name of the run, instead of the folder's.")
@click.option("--ema", is_flag=True, help="Measure the averaged weights of each file.")
@click.option(
    "--samples-per-epoch",
    type=click.IntRange(min=1),
    help="To tell samples seen where the run does not.",
)
@click.option("--tokenizer", help="Folder of a tokenizer that open_clip would fetch.")
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Every K-th checkpoint of a run.",
)
@click.option("--steps", type=RangeType(), help="Steps A to B, inclusive.")
@click.option("--epochs", type=RangeType(), help="Epochs A to B, inclusive.")
@click.option(
    "--memory",
    default="auto",
    show_default=True,
    help="For pictures: a size (4GiB), resident, mapped or generated.",
)
@click.option(
    "--decoder",
    default="pillow",
    show_default=True,
    help="Of picture files: pillow (the reference), dali, dali-mixed (JPEG on the GPU); with "
    "-resize, DALI resizes too.",
)
@click.option("--cache-dir", type=click.Path(path_type=Path), help="[env: FASTCLIP_CACHE]")
@click.option(
    "--without",
    type=NamesType(),
    default="",
    help="Do work after all that changes no number: duplicates, shared-views, prompts, "
    "last-block, patch-product, read-ahead.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan; read no weights.")
@click.option("--overwrite", is_flag=True, help="Measure again what is measured.")
@click.option("--rescore", is_flag=True, help="Let this folder change engine or precision.")
@click.option("--rehash", is_flag=True, help="Read finished weights again, compare digests.")
@click.option("--max-failures", type=click.IntRange(min=0), help="Stop after more failures.")
@click.option(
    "--trust-pickle",
    is_flag=True,
    help="Load pickles that may run code. Only for files you made yourself.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config_file,
    help="TOML file of these options; the line wins.",
)
@click.option("-v", "--verbose", is_flag=True, help="Seconds per stage for each checkpoint.")
@click.option("--profile", is_flag=True, help="Say where the time went, and what to change.")
@click.option("-q", "--quiet", is_flag=True)
@click.option("--no-progress", is_flag=True, help="Plain lines instead of a live one.")
def command(
    checkpoints: tuple[str, ...],
    dry_run: bool,
    verbose: bool,
    profile: bool,
    quiet: bool,
    no_progress: bool,
    ema: bool,
    batch_size: str,
    **options: Any,
) -> int:
    """Measure every checkpoint of a training run.

    CKPTS are folders, globs, files, @list.txt, or open_clip tags (openclip:ViT-B-16/openai).
    What is measured already is not measured again. Exit codes: 0 all done, 1 some checkpoints
    failed, 2 usage, 3 the environment or the data refused, 130 interrupted.
    """
    from fastclip.sweeper.config import SweepConfig
    from fastclip.sweeper.progress import Progress

    if not checkpoints:
        raise UsageError("no checkpoints given", mend="fastclip sweep CKPTS... (a folder will do)")
    config = SweepConfig(
        checkpoints=checkpoints,
        weights="ema" if ema else "raw",
        batch_size=parse_batch(batch_size),
        **options,
    )
    if dry_run:
        return print_plan(config)
    from fastclip.sweeper.profile import Profile
    from fastclip.sweeper.run import sweep

    progress = Progress(quiet=quiet, live=not no_progress, verbose=verbose)
    spent = Profile()
    spent.since_process_start()
    outcome = sweep(config, progress, spent, wait=config.shard is None)
    if profile and outcome.workers:
        progress.say("--profile has no effect with several workers; -v tells each one's seconds")
    elif profile:
        for line in spent.lines():
            click.echo(line)
    if not quiet:
        from fastclip.cli.summary import print_summary

        print_summary(config.output_dir, outcome)
        if outcome.done or outcome.already_done:
            click.echo(f"what they show: fastclip report {config.output_dir}")
    return outcome.exit_code


def parse_batch(text: str) -> int | None:
    """`auto` or a number of pictures, at least one."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"'{text}' is no batch size", where="--batch-size", mend="N or auto")
    return int(text)


def print_plan(config: SweepConfig) -> int:
    """Print what a sweep would do; reads no weights and measures nothing."""
    from fastclip.sweeper.describe import describe_plan

    unreadable = False
    for line in describe_plan(config):
        unreadable = unreadable or line.startswith("unreadable")
        click.echo(line)
    return 1 if unreadable else 0
