"""An AU detector over a folder of images, into evidence parquet: `tag-rewards annotate`."""
