"""The command `neuroarrays`, as ``python -m neuroarrays``."""

import sys

from neuroarrays.cli import main

if __name__ == "__main__":
    sys.exit(main())
