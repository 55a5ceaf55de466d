"""The report of evaluations: one HTML file that needs nothing else, and its figures and tables."""
