"""`python -m relayq` is the command `relayq`."""

from relayq.cli import main

if __name__ == "__main__":
    main()
