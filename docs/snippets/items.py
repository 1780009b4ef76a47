"""python items.py items-shape-bias.parquet items-iqa.parquet"""

import sys

import pandas as pd

# Shape bias of each checkpoint, from the decisions on single pictures.
items = pd.read_parquet(sys.argv[1])
decided = items[items["conflict"] & (items["is_shape"] | items["is_texture"])]
by_checkpoint = ["run", "samples_seen", "checkpoint"]
shape_bias = decided.groupby(by_checkpoint, observed=True)["is_shape"].agg(["mean", "size"])
print(shape_bias)

# Which pictures changed their decision between the first and the last checkpoint?
decision = items.pivot(index="picture", columns="checkpoint", values="decision")
places = items.groupby("checkpoint", observed=True)["samples_seen"].first().sort_values()
first, last = places.index[0], places.index[-1]
changed = (decision[first].astype(str) != decision[last].astype(str)).sum()
print(f"{changed} of {len(decision)} pictures changed their decision")

# Rank alignment within each reference picture; the minus is for scores where higher is better.
pairs = pd.read_parquet(sys.argv[2])
aligned = pairs.groupby([*by_checkpoint, "reference"], observed=True)[["cosine", "score"]].apply(
    lambda group: -group["cosine"].corr(group["score"], method="spearman")
)
print(aligned.groupby(by_checkpoint, observed=True).mean())
