"""What the CUDA engines share: pictures and weights on the device."""
