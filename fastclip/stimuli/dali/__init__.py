"""Decoding with NVIDIA DALI; imports DALI only where a pipeline is built."""
