"""The decoder that devices with tensors run: weights, attention, sampling, a GPU's own kernels."""
