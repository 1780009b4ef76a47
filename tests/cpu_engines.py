"""Engines that run on every machine: what is true of each engine is tested with these."""

ON_CPU = ("onnxruntime", "openvino", "torch")
