"""What a sweep leaves on disk: one immutable record per (checkpoint, task, protocol), and views.

OUT/config.json                             what was settled: engine, precision, batch sizes
OUT/env.json                                versions, machine, data sets and their licences
OUT/checkpoints/<name digest>.json          what each checkpoint is: place in training, stamp, id
OUT/records/<checkpoint_id>/<task>-<protocol_id>.json           scores
OUT/records/<checkpoint_id>/<task>-<protocol_id>.items.parquet  per-picture items
OUT/failures/<name digest>.json             why a checkpoint could not be measured
OUT/results.csv, OUT/results.parquet        views, rebuilt from the above
"""
