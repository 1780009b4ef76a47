"""Confidence intervals: clusters for correlations, exemplars for shape bias, pictures for
accuracies."""
