"""Tables in files: Parquet and CSV, read by DuckDB."""
