"""Imports every module named on the command line and prints its name once its whole body was executed here."""

import sys

for name in sys.argv[1:]:
    __import__(name)
    print(name)
