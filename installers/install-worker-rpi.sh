#!/bin/sh
# Makes this Raspberry Pi a worker of relayq.
#@ made
set -eu

SERVER=${RELAYQ_SERVER:-} # the broker's: http://HOST:7117
VERSION=@VERSION@
SELF=install-worker-rpi.sh
PROFILE=rpi

#@ include worker.sh
