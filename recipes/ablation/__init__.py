"""What run_ablation.sh asks: arms, faces, measures, and the table of it all."""
