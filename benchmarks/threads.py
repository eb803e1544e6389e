"""The number of threads of BLAS and OpenMP in a benchmark that compares with them: imported before numpy."""

import os

NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
for name in NAMES:
    os.environ.setdefault(name, "1")
#: What to print beside the figures.
SAID = f"{os.environ['OMP_NUM_THREADS']} thread(s) of BLAS and OpenMP on both sides"
