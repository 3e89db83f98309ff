"""Datasets: the catalog, their readers and the resident arrays."""
