collect_ignore = ["guided.py"]  # needs atheris, which is nobody's dependency
