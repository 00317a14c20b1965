"""Topics to Parquet and back."""
