"""What is wrong with this machine's part in relayq, and which command mends it. Looks; changes nothing unless told."""
