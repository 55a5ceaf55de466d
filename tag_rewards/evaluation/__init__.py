"""What a finished run shows: intervals, baselines, curves and overlays."""
