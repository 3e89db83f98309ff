"""Readers: a dataset's files in, resident arrays out."""
