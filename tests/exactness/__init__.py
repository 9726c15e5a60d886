"""Checks against an original's own framework; commands, no part of `make test`."""
