"""The `fastclip` command. Each subcommand is one module, imported only when it is called."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

import click

from fastclip import __version__
from fastclip.errors import FastclipError, RefusalError

COMMANDS = {
    "sweep": "Measure every checkpoint of a training run.",
    "demo": "Train a tiny CLIP on a drawn world and sweep it; no download.",
    "verify": "Compare an engine or a precision with fp32 on your own checkpoints.",
    "analyze": "Say what a sweep shows: peaks, trends, links, with intervals.",
    "report": "Write what a sweep found as one HTML page and as figures.",
    "table": "Rebuild results.csv and results.parquet from the records.",
    "export": "Write rows or items for other programs: wide, items, CLIP_benchmark, W&B, ...",
    "inspect": "Show what a checkpoint file holds, without reading weights.",
    "data": "Verify or fetch data sets.",
    "ls": "List models, tasks, data sets, distortions, decoders and engines.",
    "bench": "Measure the speed of this machine's engines.",
    "cache": "List or prune cached pictures and graphs.",
    "doctor": "Check this machine: packages, kernels, engines, cache.",
    "cite": "BibTeX and a methods paragraph for a sweep.",
}
"""Name -> one line of help, so that `fastclip --help` imports no command."""


def normalize_token(token: str) -> str:
    """Let `--data_dir` mean `--data-dir`."""
    return token.replace("_", "-")


CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": normalize_token,
    "auto_envvar_prefix": "FASTCLIP",
    "max_content_width": 100,
}


class LazyGroup(click.Group):
    """Imports `fastclip.cli.<name>` when `<name>` is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"fastclip.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        # FASTCLIP_DATA_DIR, not FASTCLIP_SWEEP_DATA_DIR.
        command.context_settings.setdefault("auto_envvar_prefix", "FASTCLIP")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="fastclip")
def group() -> None:
    """Measure how CLIP models change during training.

    `fastclip sweep ckpts/ --data-dir data/` measures image-quality alignment, shape bias and
    noise robustness for every checkpoint. `fastclip demo` shows it without any data.
    """


def main() -> None:
    """Entry point: errors are printed without a traceback; see `fastclip.errors` for codes."""
    try:
        code = group.main(standalone_mode=False)
    except FastclipError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except OSError as error:
        if error.filename is None:
            raise
        refusal = RefusalError(
            f"a file cannot be read or written ({error.strerror})",
            where=error.filename,
            mend="name another file or folder, or change its permissions",
        )
        print(f"error: {refusal}", file=sys.stderr)
        code = refusal.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted; run the same command again to go on", file=sys.stderr)
        code = 130
    # torch leaves 400,000 objects, which a last collection looks through for a second or two.
    gc.freeze()
    sys.exit(code if isinstance(code, int) else 0)
