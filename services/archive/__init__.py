"""Ranges of topics as Parquet files, and back."""
