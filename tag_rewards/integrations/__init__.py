"""The rewards in other people's trainers: one thin module for each reinforcement-learning stack."""
