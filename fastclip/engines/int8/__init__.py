"""Dynamic quantisation for ONNX Runtime: the graph once, the weights anew for every checkpoint."""
