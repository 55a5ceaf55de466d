"""Face datasets, made faces, and their export to the parquet files that trainers read."""
