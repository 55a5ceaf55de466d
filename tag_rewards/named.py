"""Something of the user's own, named on a command line as `package.module:name`."""

import difflib
import importlib
import os
import sys
from typing import Any

from tag_rewards.errors import InputError


def load_named(option: str, named: str) -> Any:
    """What `package.module:name` stands for.

    The module is installed, or lies in the working directory, which is put at the end of the search
    path; processes that are started from here inherit it. What else the module raises keeps its
    traceback.

    Example:
        >>> load_named("--detector", "fractions:Fraction")
        <class 'fractions.Fraction'>
        >>> load_named("--detector", "fractions:Fractoin")
        Traceback (most recent call last):
        tag_rewards.errors.InputError: --detector fractions:Fractoin: the module fractions has no \
'Fractoin'; did you mean Fraction?
    """
    module_name, _, name = named.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), name)):
        raise InputError(
            f"{option} {named}: write it as package.module:name, such as mine.detectors:MyName"
        )
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{option} {named}: there is no module {error.name}; install it, or run from the "
                "folder where it lies"
            ) from error
        raise InputError(
            f"{option} {named}: {module_name} needs {error.name}; install it"
        ) from error
    except (ImportError, SyntaxError) as error:
        raise InputError(f"{option} {named}: {module_name} cannot be imported ({error})") from error
    try:
        return getattr(module, name)
    except AttributeError:
        there = [other for other in dir(module) if not other.startswith("_")]
        close = difflib.get_close_matches(name, there, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(there) or 'nothing'}"
        raise InputError(
            f"{option} {named}: the module {module_name} has no {name!r}; {hint}"
        ) from None
