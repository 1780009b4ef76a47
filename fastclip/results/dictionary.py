"""The data dictionary: what every column of every table is. The documents are made from it.

`python -m fastclip.results.dictionary > docs/data-dictionary.md`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastclip.results.table import COLUMNS


@dataclass(frozen=True)
class Column:
    """What one column holds.

    Attributes:
        dtype: of Parquet and pandas.
        unit: "" for names and ids.
        description: one sentence.
        missing: what NA says; "" where there is none.
    """

    dtype: str
    unit: str
    description: str
    missing: str = ""


def _row(name: str, unit: str, description: str, missing: str = "") -> tuple[str, Column]:
    return name, Column(COLUMNS[name], unit, description, missing)


_FACTOR = "the factor does not apply to this number"

ROWS: dict[str, Column] = dict(
    [
        _row("run", "", "Training run: the folder that the checkpoints were found in"),
        _row("checkpoint_id", "", "Digest of the needed weights and the architecture"),
        _row("checkpoint", "", "Name of the checkpoint file, with its run"),
        _row("arch", "", "Architecture, as open_clip calls it"),
        _row("weights", "", "`raw`, or `ema` for the averaged weights of the same file"),
        _row("step", "optimizer steps", "Place in training", "neither file nor run says it"),
        _row("epoch", "epochs", "Place in training, in completed epochs", "not known"),
        _row("samples_seen", "samples", "Training samples seen so far", "not known"),
        _row("task", "", "What was measured: `fastclip ls tasks`"),
        _row("dataset", "", "Data set; `name[found/expected]` for an incomplete one"),
        _row("subset", "", "Pairs that an image-quality number is over", _FACTOR),
        _row("distance", "", "Distance between embeddings, or `psnr`, the baseline", _FACTOR),
        _row("layer", "", "Layer of the tower, where it is not the projected output", _FACTOR),
        _row("distortion", "", "Distortion of the pictures; `none` for clean ones", _FACTOR),
        _row("level", "of the distortion", "Strength of the distortion", _FACTOR),
        _row("noise_at", "", "`native`: distorted before resizing; `input`: after", _FACTOR),
        _row("noise_seed", "", "Seed of a random distortion", "clean, or not random"),
        _row("prompts", "", "Templates and class names of the zero-shot classifier", _FACTOR),
        _row("category", "", "Shape class that the row is over", "over all categories"),
        _row("metric", "", "Which number: see the metrics below"),
        _row("value", "of the metric", "The number", "undefined; `flag` says why"),
        _row("ci_low", "of the metric", "Lower end of the 95 % interval", "no interval"),
        _row("ci_high", "of the metric", "Upper end of the 95 % interval", "no interval"),
        _row("ci_method", "", "How the interval was made", "no interval"),
        _row("n", "pictures or pairs", "How many the number is over"),
        _row("n_units", "units", "Independent units behind them: references, exemplars", "no unit"),
        _row(
            "flag",
            "",
            "What to mind (`at_chance`; `screening`: of a precision that bends curves), or why "
            "`value` is NA; several are joined by `;`",
            "nothing to mind",
        ),
        _row("partial", "", "found/expected pictures of an incomplete data set", "complete"),
        _row("protocol_id", "", "Digest of all the number depends on besides the weights"),
        _row("engine", "", "Engine that computed the embeddings"),
        _row("precision", "", "Precision of the towers"),
        _row("seconds", "s", "Time to encode and score this protocol; the only timing"),
        _row("fastclip_version", "", "Version that measured"),
    ]
)
"""The tidy rows of `results.csv`, `results.parquet` and the exports `csv` and `parquet`."""

PLACE = ("run", "checkpoint", "arch", "weights", "step", "epoch", "samples_seen")
"""Columns of `ROWS` that say which checkpoint; the first ones of wide tables and of items."""

CONDITION = ("distortion", "level", "noise_at", "noise_seed")
"""Columns of `ROWS` that say under which distortion items of `robustness` were measured."""

_DECISION: dict[str, Column] = {
    "margin": Column("float32", "cosine", "Largest cosine with a class less the second largest"),
    "tie": Column("bool", "", "Whether another class shares the largest cosine"),
}

ITEMS: dict[str, dict[str, Column]] = {
    "iqa": {
        "reference": Column("string", "", "File of the reference picture"),
        "distorted": Column("string", "", "File of the distorted picture"),
        "type": Column("string", "", "Distortion type; empty where the set names none"),
        "level": Column("int64", "", "Distortion level of the pair; -1 where the set has none"),
        "score": Column("float64", "of the set", "Human quality score of the pair"),
        "cosine": Column("float64", "0 to 2", "1 - cosine of the embeddings", "a zero embedding"),
        "rmse": Column("float64", "of the embedding", "Root mean squared difference"),
        "rmse_dimnorm": Column("float64", "", "As `rmse`, dimensions scaled to equal means"),
        "psnr": Column(
            "float64", "dB", "PSNR of the whole pictures, higher for better", "sizes differ"
        ),
    },
    "shape-bias": {
        "picture": Column("string", "", "File of the cue-conflict picture"),
        "shape": Column("string", "", "Class of its shape"),
        "texture": Column("string", "", "Class of its texture"),
        "shape_exemplar": Column("string", "", "Picture that the shape was taken from"),
        "texture_exemplar": Column("string", "", "Picture that the texture was taken from"),
        "decision": Column("string", "", "Class decided for"),
        "is_shape": Column("bool", "", "Decided for the shape"),
        "is_texture": Column("bool", "", "Decided for the texture; both if the cues agree"),
        "conflict": Column("bool", "", "Shape and texture differ; only these make a shape bias"),
        **_DECISION,
    },
    "robustness": {
        "label": Column("int32", "class index", "True class"),
        "decision": Column("int32", "class index", "Class decided for"),
        "top5": Column("bool", "", "The true class is among the five with the largest cosine"),
        **_DECISION,
    },
    "embedding-diagnostics": {
        "component": Column("int32", "", "Principal component of the embeddings, from 0"),
        "variance_share": Column("float64", "share", "Share of the variance on it"),
    },
}
"""Task -> columns of its per-picture items, besides `PLACE`."""

ITEM = Column("int64", "", "Row of the picture or pair in its data set's order, from 0")

METRICS: dict[str, dict[str, tuple[str, str]]] = {
    "iqa": {
        "srcc": ("-1 to 1", "Spearman correlation with human scores, positive when aligned"),
        "plcc": ("-1 to 1", "Pearson correlation with human scores, no fitted logistic"),
        "krcc": ("-1 to 1", "Kendall's tau-b with human scores"),
        "srcc_partial_psnr": ("-1 to 1", "Partial Spearman correlation with scores, given PSNR"),
    },
    "shape-bias": {
        "shape_bias": ("share", "shape / (shape + texture) decisions; 0.5 when guessing"),
        "texture_bias": ("share", "1 - `shape_bias`"),
        "shape_bias_guess_corrected": ("share", "`shape_bias` with guesses taken out"),
        "cue_accuracy": ("share", "(shape + texture) decisions / conflict pictures"),
        "shape_accuracy": ("share", "shape decisions / conflict pictures"),
        "texture_accuracy": ("share", "texture decisions / conflict pictures"),
        "shape_decisions": ("pictures", "Decisions for the shape"),
        "texture_decisions": ("pictures", "Decisions for the texture"),
        "other_decisions": ("pictures", "Decisions for neither cue"),
        "tied_decisions": ("pictures", "Decisions where two classes shared the largest cosine"),
        "nonconflict_accuracy": ("share", "Right decisions where the cues agree"),
    },
    "robustness": {
        "acc1": ("share", "Zero-shot top-1 accuracy"),
        "acc5": ("share", "Zero-shot top-5 accuracy"),
        "tied_decisions": ("pictures", "Decisions where two classes shared the largest cosine"),
        "drop_abs": ("share", "Clean - distorted accuracy"),
        "drop_rel": ("share", "(clean - distorted) / clean"),
        "drop_rel_chance": ("share", "(clean - distorted) / (clean - 1/classes)"),
    },
    "embedding-diagnostics": {
        "logit_scale": ("", "exp of the learned temperature's logarithm"),
        "effective_rank": ("dimensions", "exp of the entropy of the covariance spectrum"),
        "mean_cosine_unrelated": ("cosine", "Mean over pairs of unrelated pictures"),
        "median_distance": ("of the distance", "Median over all pairs of one level"),
        "image_text_gap": ("", "Distance between mean picture and mean prompt embedding"),
    },
}
"""Task -> metric -> (unit, description): what `value` is."""


def item_columns(task: str) -> dict[str, Column]:
    """Columns of one task's exported items, in order."""
    factors = (*PLACE, "dataset", *(CONDITION if task == "robustness" else ()), "protocol_id")
    return {name: ROWS[name] for name in factors} | {"item": ITEM} | ITEMS.get(task, {})


def metric_column(task: str, metric: str) -> Column:
    """The column of a wide table that holds one metric."""
    unit, description = METRICS.get(task, {}).get(metric, ("", metric))
    return Column("float64", unit, description, "undefined or not measured")


def markdown() -> str:
    """The document: all tables of this module."""
    parts = [
        "# Data dictionary\n\nMade from `fastclip/results/dictionary.py` by "
        "`python -m fastclip.results.dictionary`. Missing values are `NA` in CSV and null in "
        "Parquet.",
        "## Rows\n\nOne row per number: `results.csv`, `results.parquet`, "
        "`fastclip export OUT --to csv|parquet`.",
        "\n".join(_table(ROWS)),
        "## Metrics\n\nWhat `value` is, by `task` and `metric`; formulas in "
        "[protocols.md](protocols.md).",
        "\n".join(_metrics_table()),
        "## Wide\n\n`fastclip export OUT --to wide`: one row per checkpoint; "
        f"{', '.join(f'`{name}`' for name in PLACE)} as above, then one column per number, named "
        "`task.dataset.metric` and whatever factors tell it from its siblings (distance, subset, "
        "category, distortion@level). `--intervals` adds `<name>.ci_low` and `<name>.ci_high`. "
        "Flags are in the rows only.",
        "## Items\n\n`fastclip export OUT --to items --task TASK`: one row per picture or pair "
        "and checkpoint. "
        f"{', '.join(f'`{name}`' for name in (*PLACE, 'dataset', 'protocol_id'))} as above (and "
        f"{', '.join(f'`{name}`' for name in CONDITION)} for `robustness`), then:",
    ]
    for task, columns in ITEMS.items():
        parts += [f"### {task}", "\n".join(_table({"item": ITEM} | columns))]
    return "\n\n".join(parts) + "\n"


def _table(columns: Mapping[str, Column]) -> Iterator[str]:
    yield "| column | dtype | unit | description | NA means |"
    yield "|---|---|---|---|---|"
    for name, c in columns.items():
        yield f"| `{name}` | {c.dtype} | {c.unit} | {c.description} | {c.missing} |"


def _metrics_table() -> Iterator[str]:
    yield "| task | metric | unit | description |"
    yield "|---|---|---|---|"
    for task, metrics in METRICS.items():
        for name, (unit, description) in metrics.items():
            yield f"| {task} | `{name}` | {unit} | {description} |"


if __name__ == "__main__":
    print(markdown(), end="")
