"""Imports every module of a package, as a step of an image's build.

A dependency that the role's lock file lacks then fails the build, not the first pod.
"""

import importlib
import pkgutil
import sys


def modules_of(package: str) -> list[str]:
    """The package and all modules below it, by dotted name."""
    path = importlib.import_module(package).__path__
    return [package, *(module.name for module in pkgutil.walk_packages(path, f"{package}."))]


for name in modules_of(sys.argv[1]):
    importlib.import_module(name)
