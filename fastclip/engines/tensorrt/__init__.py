"""TensorRT: one engine per tower and architecture, refitted with every checkpoint's weights.

`network` makes an ONNX file that TensorRT takes, `build` a plan of it, `plan_cache` keeps plans,
`refit` changes an engine's weights, `tower` runs one, `engine` is fastclip's side of it all.
`library` is where TensorRT is imported and its versions differ, `stream` where a CPU and a GPU do.
"""
