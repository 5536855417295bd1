"""Fits and replicates on the workers of a Dask cluster."""
