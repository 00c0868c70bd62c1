"""Starts a supervisor by hand: python -m relayq.supervisor --home DIR. Workers use `client.ensure`."""

import argparse
import sys

from relayq import __version__
from relayq.supervisor import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m relayq.supervisor", description=__doc__)
    parser.add_argument("--home", required=True, help="the RELAYQ_HOME to serve")
    sys.exit(serve.main(parser.parse_args().home, __version__))
