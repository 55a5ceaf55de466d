"""Bindings of Action Unit and landmark detectors, one file each."""
