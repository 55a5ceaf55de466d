"""What the library raises when its input is at fault, and not the library."""


class InputError(ValueError):
    """Input that is refused; the message is one sentence that says what is wrong and where.

    The command line prints it and ends with exit code 2; any other `ValueError` is a bug and keeps
    its traceback.
    """
