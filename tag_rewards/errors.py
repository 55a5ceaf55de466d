"""What the library raises when its input is at fault, and not the library."""


class InputError(ValueError):
    """Input that is refused; the message is one sentence that says what is wrong and where.

    The command line prints it and ends with exit code 2; any other `ValueError` is a bug and keeps
    its traceback.
    """


def require_at_least_1(**settings: int | None) -> None:
    """Raise `InputError` for the first setting below 1; one that is None is passed over."""
    for name, value in settings.items():
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}, not at least 1")
