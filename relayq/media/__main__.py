"""`python -m relayq.media REQUEST.json`."""

import sys

from relayq.media.run import main

sys.exit(main(sys.argv[1]))
