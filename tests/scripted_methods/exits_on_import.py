"""A plug-in that thinks it is a program."""

import sys

sys.exit("usage: plugin MODEL")
