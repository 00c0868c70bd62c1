#!/bin/sh
# Makes this machine (macOS or Linux) a worker of relayq.
#@ made
set -eu

SERVER=${RELAYQ_SERVER:-} # the broker's: http://HOST:7117
VERSION=@VERSION@
SELF=install-worker.sh
PROFILE=

#@ include worker.sh
