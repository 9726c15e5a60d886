"""One thread for every test: nets this small gain nothing from two, and on a machine with other
work two threads that wait for each other are fifty times slower than one."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded, so before any test module
